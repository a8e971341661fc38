#!/usr/bin/env bash
# usage: format.sh BUILD SOURCE
# builds: nothing
# Every C file is as clang-format 14 writes it, which `scripts/format` repairs, and its comments, which clang-format
# leaves as they are, have at most 100 columns too.
set -euo pipefail
cd "$2"
mapfile -t files < <(find include src tests bench examples fuzz -name '*.[ch]' 2>/dev/null)
[ "${#files[@]}" -gt 50 ] || { echo "format.sh: ${#files[@]} C files found, expected above 50" >&2; exit 1; }
clang-format-14 --dry-run -Werror "${files[@]}"

wide() { # files; a character of UTF-8 is one column
    LC_ALL=C awk -v limit=100 '{ text = $0; gsub(/[\200-\277]/, "", text) }
        length(text) > limit { print FILENAME ":" FNR ": a line of " length(text) " columns, expected at most " limit }' "$@"
}
planted=$(printf '/* %94s */\n/* %95s */\n/* %93s\xc2\xb1 */\n' x x x | wide /dev/stdin)
[ "$planted" = '/dev/stdin:2: a line of 101 columns, expected at most 100' ] || { echo "format.sh: found '$planted' in planted lines" >&2; exit 1; }
found=$(wide "${files[@]}")
[ -z "$found" ] || { echo "$found"; exit 1; }
