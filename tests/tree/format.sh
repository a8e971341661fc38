#!/usr/bin/env bash
# usage: format.sh BUILD SOURCE
# builds: nothing
# Every C file is as clang-format 14 writes it. `scripts/format` repairs.
set -euo pipefail
cd "$2"
mapfile -t files < <(find include src tests bench examples fuzz -name '*.[ch]' 2>/dev/null)
[ "${#files[@]}" -gt 50 ] || { echo "format.sh: ${#files[@]} C files found, expected above 50" >&2; exit 1; }
clang-format-14 --dry-run -Werror "${files[@]}"
