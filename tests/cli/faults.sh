#!/usr/bin/env bash
# Every system call of the save path fails once, or is the last one before a SIGKILL: the run stops with one line or
# dies, its directory resumes, and the final files are those of a run that nothing happened to. CTKD_FAULTS=1 tries
# every call, the default every fifth.
set -euo pipefail
. "$2/tests/support/work_folder.bash"
. "$source/tests/support/tiny_data.bash"
strace -o /dev/null true || fail "strace does not work here: it injects the faults"
tiny_data data 16 48 20
run="$ctkd train data.set=mnist:data student.network=resnet8 train.threads=1 train.batch=16 train.epochs=2
    schedule.kind=constant train.checkpoint_every=2"
expect 0 $run run.dir=whole

same() {
    local file
    for file in last.safetensors best.safetensors; do
        cmp "whole/$file" "$1/$file" || fail "$1/$file differs after $2"
    done
}
export ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}detect_leaks=0 # LeakSanitizer does not work under a tracer
step=${CTKD_FAULTS:-5} cases=0 faults=0
for fault in write:error=ENOSPC write:error=EIO fsync:error=EIO rename:error=EIO openat:error=ENOSPC \
    write:signal=KILL fsync:signal=KILL rename:signal=KILL openat:signal=KILL; do
    call=${fault%%:*}
    rm -rf counted
    strace -f -qq -e trace="$call" -o calls $run run.dir=counted >/dev/null 2>&1
    total=$(grep -c "$call(" calls)
    for ((k = 1 + RANDOM % step; k <= total; k += step)); do
        rm -rf hurt
        status=0
        {
            strace -f -qq -e trace="$call" -e inject="$fault:when=$k" -o calls $run run.dir=hurt >stdout 2>stderr ||
                status=$?
        } 2>/dev/null
        cases=$((cases + 1))
        [ $status = 0 ] || faults=$((faults + 1))
        # 0: the call was not one that the run needs (a line on stderr)
        case $status in 0 | 1 | 2 | 137) ;; *) fail "call $k of $fault: status $status" ;; esac
        [ $status != 1 ] || grep -q '^ctkd: ' stderr || fail "call $k of $fault: no message"
        expect 0 $run run.dir=hurt --resume=auto
        same hurt "call $k of $fault"
    done
done
# Short writes: a write that would pass the limit on a file's size stops there and says so, and the next one fails
# (with SIGXFSZ, which ends the run, or with EFBIG where that is ignored).
largest=$(($(stat -c %s whole/last.ckpt) / 1024))
for ignored in "" "trap '' XFSZ;"; do
    for blocks in 1 7 $((largest / 3)) $((largest / 2)) $((largest - 1)) "$largest"; do
        rm -rf hurt
        status=0
        { bash -c "$ignored ulimit -f $blocks; exec $run run.dir=hurt" >/dev/null 2>stderr || status=$?; } 2>/dev/null
        cases=$((cases + 1)) faults=$((faults + 1))
        case $status in 1 | 2 | 153) ;; *) fail "files of at most $blocks KiB: status $status" ;; esac
        [ $status != 1 ] || grep -q '^ctkd: ' stderr || fail "files of at most $blocks KiB: no message"
        expect 0 $run run.dir=hurt --resume=auto
        same hurt "files of at most $blocks KiB"
    done
done
# A disk that is full for a store of logits alone ends no run: one line says so, and the bits are the same.
distill="$ctkd distill data.set=mnist:data student.network=resnet8 teacher.path=whole teacher.tolerance=100 train.threads=1
    train.batch=16 train.epochs=2 schedule.kind=constant"
expect 0 $distill run.dir=plain
expect 0 strace -f -qq -o calls -e trace=pwrite64 -e inject=pwrite64:error=ENOSPC:when=40+ $distill run.dir=full teacher.store=store
[ "$(grep -c '^note: teacher.store: cannot write store/.*: No space left on device: no more answers are added; the run continues' stderr)" = 1 ] ||
    fail "a full disk of a store: $(cat stderr)"
cmp plain/last.safetensors full/last.safetensors || fail "a full disk of a store: other weights"
grep -q '"teacher_misses": 48, "teacher_damaged": 0,' full/log.jsonl || fail "a full disk of a store: $(cat full/log.jsonl)"
expect 0 "$ctkd" teacher-store verify store
expect 0 $distill run.dir=next teacher.store=store
cmp plain/last.safetensors next/last.safetensors || fail "a store whose disk was full: other weights"
[ $faults -gt 0 ] || fail "no fault was felt"
echo "$cases faults injected, $faults ended the run, every run ended with the same bits"
