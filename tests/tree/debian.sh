#!/usr/bin/env bash
# usage: debian.sh BUILD SOURCE
# builds: ctkd ctkd_shared ctkd_static
# What of debian/ can be wrong without a build of the packages (scripts/package-debian): version, symbols, dependencies,
# and that each installed file is in one package.
set -euo pipefail
build=$(cd "$1" && pwd) source=$(cd "$2" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$source"
bad=0
wrong() { echo "debian: $*"; bad=1; }

version=$(sed -n 's/^#define CTKD_VERSION_[MP][A-Z]* //p' include/ctkd/version.h | paste -sd.)
major=${version%%.*}
if command -v dpkg-parsechangelog >/dev/null; then
    found=$(dpkg-parsechangelog -l debian/changelog -S Version)
else
    found=$(sed -n '1s/^ctkd (\(.*\)) .*/\1/p' debian/changelog)
fi
[ "$found" = "$version" ] || wrong "changelog: version $found, expected $version of include/ctkd/version.h"

nm -D --defined-only "$build/libctkd.so" | awk '{ print $3 }' | LC_ALL=C sort >"$work/exported"
sed -n 's/^ \(.*\)@Base .*/\1/p' debian/libctkd0.symbols >"$work/listed"
# A build with sanitizers exports names of theirs.
sed -i '/^ctkd_/!d' "$work/exported"
diff "$work/listed" "$work/exported" >"$work/diff" ||
    wrong "libctkd0.symbols differs from the functions of libctkd.so (>); scripts/symbols writes it: $(grep '^[<>]' "$work/diff" | paste -sd,)"
grep -qx "libctkd.so.$major libctkd$major #MINVER#" debian/libctkd0.symbols || wrong "libctkd0.symbols: soname"
grep -q "\"libctkd.so.$major\"" python/src/ctkd/_library.py || wrong "the Python package loads another soname than libctkd.so.$major"

# Each library that a build needs (scripts/setup, its part before the tests) is a build dependency.
for package in $(sed -n '/^packages=(/,/# tests$/p' scripts/setup | sed 's/#.*//' | grep -o '[a-z0-9.+-]*-dev\|protobuf-c-compiler' | grep -v 'libcmocka-dev\|libc6-dev'); do
    sed -n '/^Build-Depends:/,/^Standards/p' debian/control | grep -qw -- "$package" || wrong "control: Build-Depends lacks $package of scripts/setup"
done

cmake --install "$build" --prefix "$work/root/usr" >/dev/null
(cd "$work/root" && find usr -type f -o -type l) | sed 's,usr/share/zsh/site-functions,usr/share/zsh/vendor-completions,; s,usr/lib/lib,usr/lib/x/lib,; s,usr/lib/\(cmake\|ctkd\|pkgconfig\),usr/lib/x/\1,' |
    while read -r file; do
        owners=0
        for list in debian/*.install; do
            while read -r pattern; do
                # shellcheck disable=SC2053
                [[ $file == $pattern || $file == $pattern/* ]] && owners=$((owners + 1))
            done <"$list"
        done
        [ $owners = 1 ] || echo "$file is in $owners packages, expected one"
    done >"$work/files"
[ ! -s "$work/files" ] || wrong "$(cat "$work/files")"
[ $bad = 0 ] && echo "all as expected"
exit $bad
