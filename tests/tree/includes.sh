#!/usr/bin/env bash
# usage: includes.sh BUILD SOURCE
# builds: nothing
# Who includes whom in the tree, and that the check notices a wrong line.
set -euo pipefail
source=$2

"$source/scripts/check_includes" "$source"

wrong=$(mktemp -d)
trap 'rm -rf "$wrong"' EXIT
refuses() { # file, include
    mkdir -p "$wrong/include" "$wrong/src" "$wrong/$(dirname "$1")"
    echo "#include $2" >"$wrong/$1"
    if "$source/scripts/check_includes" "$wrong" >/dev/null; then
        echo "scripts/check_includes: $1: $2 passed, expected a refusal"
        exit 1
    fi
    rm "$wrong/$1"
}
# A wrong line in each room.
refuses include/ctkd/x.h '"lib/math/rows.h"'
refuses src/lib/x.c '<stdio.h>'
refuses src/lib/x.c '"util/error.h"'
refuses src/util/x.c '"io/jsonl.h"'
refuses src/dist/x.c '"nn/graph.h"'
refuses src/dist/x.c '<mpi.h>'
refuses src/train/x.c '<mpi.h>'
refuses src/io/x.c '"nn/graph.h"'
refuses src/io/x.c '"data/dataset.h"'
refuses src/io/x.c '"jsonl.h"'
refuses src/io/x.c '<dnnl.h>'
refuses src/io/x.c '<omp.h>'
refuses src/data/x.c '"nn/graph.h"'
refuses src/nn/x.c '"data/dataset.h"'
refuses src/nn/compile/x.c '<dnnl.h>'
refuses src/nn/conv/conv.c '<dnnl.h>'
refuses src/config/x.c '"nn/graph.h"'
refuses src/weights/x.c '"config/config.h"'
refuses src/weights/onnx/x.c '"train/teacher.h"'
refuses src/store/x.c '"train/teacher.h"'
refuses src/train/x.c '"run/run.h"'
refuses src/train/x.c '"io/jsonl.h"'
refuses src/run/x.c '"selftest/selftest.h"'
refuses src/report/x.c '"train/session.h"'
refuses src/selftest/x.c '"cli/cli.h"'
refuses src/newroom/x.c '"util/error.h"'
# And one that is wrong everywhere in each folder that there is.
while read -r folder; do
    refuses "$folder/x.c" '"newroom/x.h"'
    refuses "$folder/x.c" '<cmocka.h>'
done < <(cd "$source" && find src include -name '*.[ch]' -printf '%h\n' | sort -u)

# A room that outgrows its map is two rooms; a registry has a file for each entry of its list.
while read -r count room; do
    [ "$count" -le 25 ] || [ -e "$source/$room/list.h" ] || {
        echo "$room holds $count modules, expected at most 25: look for the second room in it" >&2
        exit 1
    }
done < <(cd "$source" && find src -name '*.[ch]' | sed 's/\.inc\.h$//; s/\.[ch]$//' | sort -u | xargs -n1 dirname | sort | uniq -c)

# A struct's name is defined once, so that a debugger and a reader mean the same by it.
defined_twice() {
    grep -rhoE '^(static )?struct [a-z0-9_]+ \{' --include='*.[ch]' "$1" | sed -E 's/^static //; s/ \{//' | sort | uniq -d
}
twice=$(defined_twice "$source/src")
[ -z "$twice" ] || { echo "defined in more than one file of src, expected telling names: ${twice//$'\n'/, }" >&2 && exit 1; }
printf 'struct job {\n' | tee "$wrong/src/a.c" >"$wrong/src/b.c"
[ "$(defined_twice "$wrong/src")" = 'struct job' ] || { echo "a struct that is defined twice passed, expected a refusal" >&2 && exit 1; }
