#!/usr/bin/env bash
# usage: shape.sh BUILD SOURCE
# What keeps the code readable and its lists complete, and the check notices each fault:
#   no file of src, include and fuzz is longer than 800 lines;
#   no function of theirs is longer than 60 lines, from its first line to its closing brace;
#   no switch of src and include has a `default:`, so that the compiler names each switch that misses a new enumerator
#   (of bytes of a file the other cases come behind the switch);
#   messages for people are printed by ctkd__say, which escapes what is no UTF-8; only live lines (\r) are not.
set -euo pipefail
build=$1 source=$2

# As clang-format writes them: a line with nothing but { opens a function, } in the first column closes it; its first
# line is the one behind an empty line, a directive, a closing brace, a semicolon or a comment.
long_functions() { # files
    awk -v limit=60 '
        FNR == 1 { first = 1; open = 0 }
        /^\{$/ { open = first }
        /^}/ && open { if (FNR - open + 1 > limit) print FILENAME ":" open ": a function of " FNR - open + 1 " lines, expected at most " limit; open = 0 }
        !open && /^$|^#|^}|;$|\*\/$/ { first = FNR + 1 }' "$@"
}

long_files() { # files
    awk -v limit=800 '
        function tell() { if (lines > limit) print name ": a file of " lines " lines, expected at most " limit }
        FNR == 1 { tell(); name = FILENAME }
        { lines = FNR }
        END { tell() }' "$@"
}

defaults() { # files
    grep -nHE '^[[:space:]]*default:' "$@" | sed -E 's/:[[:space:]]*default:.*/: a default in a switch, expected its cases/' || true
}

messages() { # files
    { grep -nHE 'fprintf\((stderr|[a-z]+->progress|notes),|(fputs|fputc|putc|perror)\(.*stderr\)' "$@" || true; } | { grep -vF '\r' || true; } |
        sed -E 's/:[[:space:]]*[a-z]+\(.*/: a message, expected ctkd__say/'
}

check() { # root; prints what is wrong
    cd "$1"
    mapfile -t functions < <(find src include fuzz -name '*.[ch]' 2>/dev/null)
    mapfile -t switches < <(find src include -name '*.[ch]' 2>/dev/null)
    long_files "${functions[@]}"
    long_functions "${functions[@]}"
    defaults "${switches[@]}"
    messages "${switches[@]}"
}

count=$(find "$source/src" -name '*.[ch]' | wc -l)
[ "$count" -gt 50 ] || { echo "shape.sh: $count C files found, expected above 50" >&2; exit 1; }
found=$(check "$source")
[ -z "$found" ] || { echo "$found"; exit 1; }

planted=$build/planted_shape
rm -rf "$planted"
mkdir -p "$planted/src" "$planted/include"
function_of() { # lines
    printf 'static int f(int x)\n{\n'
    for ((i = 3; i < $1; i++)); do echo '    x++;'; done
    printf '}\n'
}
notices() { # expected message; the faulty file is on standard input
    cat >"$planted/src/x.c"
    local found
    found=$(check "$planted")
    [ "$found" = "$1" ] || { echo "shape.sh: expected '$1', found '$found'" >&2; exit 1; }
}
function_of 60 | notices ''
{ echo '/* why */'; function_of 61; function_of 9; } | notices 'src/x.c:2: a function of 61 lines, expected at most 60'
seq -f '/* %g */' 800 | notices ''
seq -f '/* %g */' 801 | notices 'src/x.c: a file of 801 lines, expected at most 800'
printf 'int f(int x)\n{\n    switch (x) {\n    default: /* none */\n        return 1;\n    }\n}\n' |
    notices 'src/x.c:4: a default in a switch, expected its cases'
printf 'int f(void)\n{\n    fprintf(stderr, "%%s\\n", name);\n}\n' | notices 'src/x.c:3: a message, expected ctkd__say'
printf 'int f(void)\n{\n    fprintf(stderr, "\\r%%zu", done);\n}\n' | notices ''
rm -rf "$planted"
