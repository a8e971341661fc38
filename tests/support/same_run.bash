# Two runs that must have the same bits; after tiny_data.bash.

# The log without what the clock says.
untimed() { sed -E 's/, "(seconds|images_per_second|data_ms|wait_ms|ranks|threads|comm_[a-z_]*)": ([0-9.e+-]+|null)//g' "$1/log.jsonl"; }

# The tensors of a checkpoint: all but its metadata (which say how the run was placed) and, of the numbers (first, 42
# doubles), the seconds of the epoch (24) and of the run (31) and the length of the log (41).
tensors() {
    local header
    header=$(od -An -N8 -t u8 "$1/last.ckpt")
    tail -c +$((9 + header)) "$1/last.ckpt" >tensors.tmp
    head -c $((8 * 24)) tensors.tmp
    head -c $((8 * 31)) tensors.tmp | tail -c $((8 * 6))
    head -c $((8 * 41)) tensors.tmp | tail -c $((8 * 9))
    tail -c +$((8 * 42 + 1)) tensors.tmp
}

# same_run EXPECTED FOUND
same_run() {
    cmp "$1/last.safetensors" "$2/last.safetensors" || fail "$2: other weights than $1"
    cmp <(untimed "$1") <(untimed "$2") || fail "$2: another log than $1"
    tensors "$1" >tensors.expected
    tensors "$2" >tensors.found
    [ "$(wc -c <tensors.found)" -gt $((2 * $(wc -c <"$1/last.safetensors") * 9 / 10)) ] || fail "$2: a checkpoint without tensors"
    cmp tensors.expected tensors.found || fail "$2: another checkpoint than $1"
}
