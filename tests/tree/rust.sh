#!/usr/bin/env bash
# builds: ctkd_static
# examples/plugin.rs builds with rustc, runs, and reports what the library refuses. Status 77, skipped, without rustc.
set -euo pipefail
build=$(cd "$1" && pwd) source=$(cd "$2" && pwd)
command -v rustc >/dev/null || { echo "skipped: no rustc" && exit 77; }
! grep -q '^CTKD_SANITIZE:[A-Z]*=.' "$build/CMakeCache.txt" || { echo "skipped: libctkd is built with sanitizers" && exit 77; }
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
build_and_run() { # $1: source
    rustc --edition 2021 -O -D warnings "$1" -L "$build" -l static=ctkd -l m -o "$folder/example"
    "$folder/example"
}
build_and_run "$source/examples/plugin.rs"
sed 's/("temperature.kind", "global")/("temperature.kind", "globl")/' "$source/examples/plugin.rs" >"$folder/wrong.rs"
if message=$(build_and_run "$folder/wrong.rs" 2>&1); then echo "a wrong option is accepted" && exit 1; fi
case $message in
*'globl'*'global'*) ;;
*) echo "a wrong option gives: $message" && exit 1 ;;
esac
