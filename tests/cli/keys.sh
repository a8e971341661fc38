#!/usr/bin/env bash
# usage: keys.sh BUILD SOURCE
# doc/config.md lists the keys exactly as `ctkd train --help` does.
set -euo pipefail
diff <(sed -n '/^```text$/,/^```$/p' "$2/doc/config.md" | sed '1d;$d') \
    <("$1/ctkd" train --help | sed -n '/^Keys/,$p' | sed '1,2d; s/^  //') ||
    { echo "doc/config.md: its list of keys differs from the Keys of 'ctkd train --help' (>); scripts/keys writes it"; exit 1; }
