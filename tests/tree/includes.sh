#!/usr/bin/env bash
# Who includes whom in the tree, and that the check notices a wrong line.
set -euo pipefail
build=$1 source=$2

"$source/scripts/check_includes" "$source"

wrong=$build/wrong_includes
rm -rf "$wrong"
mkdir -p "$wrong/include/ctkd" "$wrong/src/lib" "$wrong/src/io"
refuses() { # file, include
    echo "#include $2" >"$wrong/$1"
    if "$source/scripts/check_includes" "$wrong" >/dev/null; then
        echo "scripts/check_includes: $1: $2 passed, expected a refusal"
        exit 1
    fi
    rm "$wrong/$1"
}
refuses src/lib/x.c '<stdio.h>'
refuses src/lib/x.c '"util/error.h"'
refuses include/ctkd/x.h '"lib/rows.h"'
refuses src/io/x.c '"nn/graph.h"'
refuses src/io/x.c '"data/dataset.h"'
refuses src/io/x.c '"jsonl.h"'
refuses src/io/x.c '<dnnl.h>'
refuses src/io/x.c '<omp.h>'
rm -rf "$wrong"
