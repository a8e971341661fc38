# For tests of the command: a data set in MNIST's format, and checks. The caller has `set -euo pipefail`.

# tiny_data FOLDER SIDE TRAIN TEST: every class has its own grey, in stripes of its own. TINY_CLASSES: 1 to 10, else 10.
# No process is started for it: there are thousands of rows, and tests begin with this.
tiny_data() {
    local class y x row grey images=()
    mkdir -p "$1"
    for class in 0 1 2 3 4 5 6 7 8 9; do
        for ((y = 0; y < $2; y++)); do
            grey=$((y * (class + 1) / $2 % 2 ? 60 + 20 * class : 20))
            printf -v row '\\x%02x' "$grey"
            for ((x = 0; x < $2; x++)); do images[class]+=$row; done
        done
    done
    tiny_part "$1" train "$2" "$3"
    tiny_part "$1" t10k "$2" "$4"
}

# big_endian N...: four bytes of each, as escapes in `bytes`.
big_endian() {
    local n byte
    bytes=
    for n in "$@"; do
        printf -v byte '\\x%02x' $((n >> 24 & 255)) $((n >> 16 & 255)) $((n >> 8 & 255)) $((n & 255))
        bytes+=$byte
    done
}

# tiny_part FOLDER NAME SIDE COUNT, of the images of tiny_data
tiny_part() {
    local bytes i
    big_endian 2051 "$4" "$3" "$3"
    for ((i = 0; i < $4; i++)); do bytes+=${images[i % ${TINY_CLASSES:-10}]}; done
    printf %b "$bytes" >"$1/$2-images-idx3-ubyte"
    big_endian 2049 "$4"
    for ((i = 0; i < $4; i++)); do bytes+="\\x0$((i % ${TINY_CLASSES:-10}))"; done
    printf %b "$bytes" >"$1/$2-labels-idx1-ubyte"
}

fail() {
    echo "FAILED: $*"
    [ -f stderr ] && sed 's/^/  stderr: /' stderr
    exit 1
}

# expect STATUS COMMAND...: runs it with stdout and stderr in files of these names.
expect() {
    local wanted=$1 status=0
    shift
    "$@" >stdout 2>stderr </dev/null || status=$?
    [ "$status" = "$wanted" ] || fail "status $status, expected $wanted: $*"
}

# expect_error STATUS LINE COMMAND...: nothing on stdout, exactly this one line on stderr.
expect_error() {
    local wanted=$1 line=$2
    shift 2
    expect "$wanted" "$@"
    [ ! -s stdout ] || fail "output on stdout: $*"
    [ "$(cat stderr)" = "$line" ] || fail "expected '$line': $*"
}
