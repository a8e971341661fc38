#!/usr/bin/env bash
# usage: hardening.sh BUILD SOURCE
# The command is position independent, binds early, and has stack and buffer checks (a Release build without
# sanitizers: those check more themselves).
set -euo pipefail
ctkd=$1/ctkd
fail() {
    echo "$ctkd: $*"
    exit 1
}
cached() { sed -n "s/^$2:[A-Z]*=//p" "$1/CMakeCache.txt"; }
readelf -h "$ctkd" | grep 'Type: *DYN' >/dev/null || fail "not position independent"
readelf -Wl "$ctkd" | grep GNU_RELRO >/dev/null || fail "no RELRO"
readelf -d "$ctkd" | grep -E 'BIND_NOW|FLAGS.*NOW' >/dev/null || fail "binds lazily"
readelf -Wl "$ctkd" | grep 'GNU_STACK' | grep 'RWE' >/dev/null && fail "executable stack"
if [ "$(cached "$1" CMAKE_BUILD_TYPE)" = Release ] && [ -z "$(cached "$1" CTKD_SANITIZE)" ]; then
    readelf -Ws --dyn-syms "$ctkd" | grep '__stack_chk_fail' >/dev/null || fail "no stack protector"
    readelf -Ws --dyn-syms "$ctkd" | grep '_chk@' >/dev/null || fail "no fortified function"
fi
