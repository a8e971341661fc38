#!/usr/bin/env bash
# usage: references.sh BUILD SOURCE
# A file or section that a comment, a document or a recipe names exists, and the check notices one that does not:
#   src/lib/loss/kd.c, tests/golden/, configs/SET/PAIR/kd.yaml   from the top; words in capitals and * stand for any name
#   data/augment.h, ctkd/loss.h                                 C files also from src/ and include/
#   doc/methods.md, "Initial values"                            a heading, without what it has in parentheses
#   [text](config.md#published-command-lines)                   links of documents
# Dated notes (doc/notes) name files as they were on their day: only their links are checked.
set -euo pipefail
build=$1 source=$2

texts() { # prints the files to look at, relative to the current folder
    find . \( -name .git -o -name 'build*' -o -path ./doc/notes \) -prune -o -type f \
        \( -name '*.[ch]' -o -name '*.md' -o -name '*.py' -o -name '*.sh' -o -name '*.yaml' -o -name '*.yml' \
        -o -path './scripts/*' -o -path './.ci/*' \) -print | sed 's,^\./,,'
}

# Comments of scripts and of C without their leaders and line ends; other files as they are, on one line.
flat() {
    sed -E 's,^[[:space:]]*(/\*+|\*|//|#)?[[:space:]]*,,' "$1" | tr '\n' ' '
}

exists() { # path, with capitals and stars for any name
    [ ! -e "$1" ] && [ ! -e "src/$1" ] && [ ! -e "include/$1" ] || return 0 # most, without a process of their own
    local pattern
    pattern=$(sed -E 's/(^|[^A-Za-z])[A-Z]{2,}\b/\1*/g' <<<"${1%/}")
    compgen -G "$pattern" >/dev/null || compgen -G "src/$pattern" >/dev/null || compgen -G "include/$pattern" >/dev/null
}

headings() { # document; the names of its sections
    sed -nE 's/^#+ +//p' "$1" | sed -E 's/ \(.*//; s/`//g'
}

anchors() { # document; the names that links use
    sed -nE 's/^#+ +//p' "$1" | tr '[:upper:]' '[:lower:]' | sed -E 's/[^a-z0-9 _-]//g; s/ /-/g'
}

check() { # root; names what is wrong, fails if anything is
    cd "$1"
    local bad=0 file name section link
    while IFS=: read -r file name; do
        exists "$name" || { echo "$file: $name does not exist"; bad=1; }
    done < <(texts | grep -v '^tests/tree/' | xargs -d '\n' grep -oHP \
        '(?<![\w./{}$*-])((src|include|doc|tests|configs|bench|examples|fuzz|scripts)/[\w./+*-]*[\w/*]|(ctkd|lib|util|dist|io|data|nn|config|weights|store|train|run|report|selftest|cli)/[\w/.]+\.[ch])(?![\w${<])' |
        sort -u)
    while IFS=$'\t' read -r file name section; do
        [ -f "$name" ] && headings "$name" | grep -qxF -- "$section" || { echo "$file: $name has no section \"$section\""; bad=1; }
    done < <(texts | grep -v '^tests/tree/' | xargs -d '\n' grep -lE 'doc/[a-z_/0-9-]+\.md,' | while read -r file; do
        flat "$file" | { grep -oE 'doc/[a-z_/0-9-]+\.md, \\?"[^"\\]+' || true; } | sed -E "s|^(.*\.md), \\\\?\"|$file\t\1\t|"
    done | sort -u)
    while IFS=$'\t' read -r file link; do
        name=${link%%#*}
        [ -n "$name" ] && name=$(dirname "$file")/$name || name=$file
        [ -e "$name" ] || { echo "$file: link to $link, which does not exist"; bad=1; continue; }
        case $link in *#*) anchors "$name" | grep -qxF -- "${link#*#}" || { echo "$file: link to $link, which is no heading"; bad=1; } ;; esac
    done < <(find . \( -name .git -o -name 'build*' \) -prune -o -name '*.md' -print | sed 's,^\./,,' | while read -r file; do
        { grep -oE '\]\([^) ]+\)' "$file" || true; } | { grep -vE '\]\([a-z]+://' || true; } | sed -E "s|^\]\((.*)\)$|$file\t\1|"
    done | sort -u)
    texts | grep -E '\.([ch]|yaml|md)$' | xargs -d '\n' grep -nE 'METHODS [0-9]' && { echo "METHODS is not in this tree"; bad=1; }
    return $bad
}

(check "$source") || { echo "references.sh: names above do not exist"; exit 1; }

planted=$build/planted_references
rm -rf "$planted"
mkdir -p "$planted/src" "$planted/doc" "$planted/configs"
printf '# A document\n\n## First section (`src/x.c`)\n\nSee [it](#a-document).\n' >"$planted/doc/a.md"
printf '/* src/x.c and src/NAME.c, as doc/a.md, "First\n * section" says. */\n' >"$planted/src/x.c"
(check "$planted") || { echo "references.sh: right references were refused"; exit 1; }
refuses() { # file, text with one wrong reference
    printf '%b\n' "$2" >"$planted/$1"
    if (check "$planted") >/dev/null; then
        echo "references.sh: $1: '$2' passed, expected a refusal"
        exit 1
    fi
    rm "$planted/$1"
}
refuses src/y.c '/* as in src/missing.c */'
refuses src/y.h '/* as in nn/missing.h */'
refuses src/y.c '/* doc/a.md, "Second section" */'
refuses src/y.c '/* doc/a.md,\n * "Second\n * section" */'
refuses src/y.c '/* doc/missing.md, "First section" */'
refuses src/y.c '/* METHODS\x202.6 */'
refuses configs/y.yaml '# doc/missing.md'
refuses configs/y.yaml '# configs/NAME/missing.yaml'
refuses doc/b.md '[a](missing.md)'
refuses doc/b.md '[a](a.md#second-section)'
refuses README.md 'tests/missing/'
rm -rf "$planted"
