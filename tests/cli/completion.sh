#!/usr/bin/env bash
# usage: completion.sh BUILD SOURCE
# builds: ctkd
# Completion and manual pages, as `ctkd completion` and `ctkd man` write them. bash's is driven as readline would;
# zsh, man and mandoc are asked where they are installed.
set -euo pipefail
. "$2/tests/support/work_folder.bash"
fail() { echo "FAILED: $*"; exit 1; }

"$ctkd" completion bash -o ctkd.bash
bash -n ctkd.bash
# Without the package bash-completion, and with the options of this script (-eu).
. ./ctkd.bash
[ "$(complete -p ctkd)" = "complete -F _ctkd ctkd" ] || fail "complete -p: $(complete -p ctkd)"
mkdir -p recipes/base runs
touch recipes/kd.yaml recipes/new.yml recipes/notes.txt teacher.pth
# offers "WORDS" "EXPECTED": of the last word; '=' and ':' are words of their own, as readline divides them.
offers() {
    local -a COMPREPLY=() expected
    read -ra COMP_WORDS <<<"$1"
    [[ $1 != *" " ]] || COMP_WORDS+=("")
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    set +e # as in a shell that people use
    _ctkd
    set -e
    read -ra expected <<<"$2"
    [ "${COMPREPLY[*]-}" = "${expected[*]-}" ] || fail "ctkd completes '$1' with '${COMPREPLY[*]-}', expected '$2'"
}
offers "ctkd tr" "train"
offers "ctkd --v" "--version"
offers "ctkd com" "compare completion"
offers "ctkd train --dr" "--dry-run"
offers "ctkd train --res" "--resume --resume=auto"
offers "ctkd train --kd" "--kd_T"
offers "ctkd compare --m" "--metric --margin --markdown"
offers "ctkd compare --kd" ""
offers "ctkd train --preset " "auto ctkd published"
offers "ctkd train --preset = p" "published"
offers "ctkd train tem" "temperature."
offers "ctkd train temperature.ki" "temperature.kind="
offers "ctkd train temperature.kind =" "fixed global instance auto"
offers "ctkd train temperature.kind = g" "global"
offers "ctkd train temperature.kind=g" "temperature.kind=global" # where '=' divides no words
offers "ctkd train optimizer.nesterov = " "true false"
offers "ctkd train optimizer.lr = " ""
offers "ctkd distill method.name = pkt,dk" "pkt,dkd"
offers "ctkd distill --distill dk" "dkd"
offers "ctkd train student.network = resnet8x" "resnet8x4 resnet8x4_double"
offers "ctkd train data.set = cifar" "cifar10 cifar100"
offers "ctkd train data.set = cifar100 : reci" "recipes"
offers "ctkd train recipes/" "recipes/base recipes/kd.yaml recipes/new.yml"
offers "ctkd distill teacher.path = te" "teacher.pth"
offers "ctkd eval te" "teacher. teacher.pth"
offers "ctkd eval temperature.k" "" # eval uses no such key
offers "ctkd convert fo" "format= fold="
offers "ctkd convert format = o" "onnx"
offers "ctkd plot -o te" "teacher.pth"
offers "ctkd methods dk" "dkd"
offers "ctkd models " ""
offers "ctkd sweep --print recipes/k" "recipes/kd.yaml"
# Every command, flag and key of the help is there.
for command in $("$ctkd" --help | sed -n '/^Commands:$/,/^$/s/^  \([a-z-]*\)  .*/\1/p'); do
    [[ " $(_ctkd_commands) " == *" $command "* ]] || fail "$command is not completed"
    for flag in $("$ctkd" "$command" --help | sed -n '/^Options:$/,/^$/s/^ .* \(--[a-z=-]*\).*/\1/p'); do
        [[ " $(_ctkd_flags "$command") " == *" $flag "* ]] || fail "$command $flag is not completed"
    done
done
for key in $("$ctkd" train --help | sed -n '/^Keys/,$s/^  \([a-z_0-9]*\.[a-z_0-9.]*\) .*/\1/p'); do
    [[ " $(_ctkd_keys train) " == *" $key "* ]] || fail "$key is not completed"
    _ctkd_values train "$key" >/dev/null
done

"$ctkd" completion zsh >_ctkd
if command -v zsh >/dev/null; then
    zsh -n _ctkd
    # In a terminal of its own: what stands in the line after TAB.
    cat >zshrc <<'END'
autoload -U compinit && compinit -u -D
source ./_ctkd
zstyle ':completion:*' menu no
show() { print -r -- "LINE:$BUFFER:END"; exit }
zle -N show && bindkey '^G' show && bindkey '^I' complete-word
PS1='> '
END
    completes() {
        zsh -f -c 'zmodload zsh/zpty; zpty shell zsh -f; zpty -w shell "source ./zshrc"; zpty -w -n shell "$1"$'"'\\t\\007'"'
            while zpty -r shell line; do print -r -- "$line"; done' zsh "$1" | tr -d '\r' | sed -n 's/.*LINE:\(.*\):END.*/\1/p' >line || true
        [ "$(cat line)" = "$2" ] || fail "zsh completes '$1' to '$(cat line)', expected '$2'"
    }
    completes "ctkd distil" "ctkd distill "
    completes "ctkd train temperature.kin" "ctkd train temperature.kind="
    completes "ctkd train temperature.kind=g" "ctkd train temperature.kind=global "
fi
for unknown in fish ""; do
    ! "$ctkd" completion "$unknown" 2>err || fail "completion '$unknown'"
    grep -q '^ctkd completion: unknown name' err || fail "completion '$unknown': $(cat err)"
done

SOURCE_DATE_EPOCH=86400 "$ctkd" man --all pages
[ "$(find pages -type f | wc -l)" = $(($(_ctkd_commands | wc -w) + 2)) ] || fail "pages: $(ls pages/*)"
for page in pages/*/* "$source/doc/libctkd.3"; do
    ! grep -n '^\.[a-z]*[^A-Za-z .]' "$page" || fail "$page: a line of text begins with a dot"
    [ "$source/doc/libctkd.3" = "$page" ] || grep -q '^\.TH CTKD.* [15] 1970-01-02 "ctkd [0-9.]*" "ctkd"$' "$page" || fail "$page: title"
    if command -v mandoc >/dev/null; then
        mandoc -Tlint -W style "$page" || fail "$page: mandoc"
    fi
    if command -v groff >/dev/null; then
        groff -man -ww -Tutf8 "$page" >/dev/null 2>warnings
        [ ! -s warnings ] || fail "$page: $(cat warnings)"
    fi
done
"$ctkd" man config >page
grep -q '^\\fBtrain\.batch\\fR (a whole number' page || fail "ctkd man config"
"$ctkd" man train | cmp -s - <(SOURCE_DATE_EPOCH=$(date +%s) "$ctkd" man train) || fail "the date is not today's"
if "$ctkd" man trai 2>err; then fail "an unknown page"; fi
[ "$(cat err)" = "ctkd man: unknown name 'trai', did you mean 'train'?" ] || fail "unknown page: $(cat err)"
echo "all as expected"
