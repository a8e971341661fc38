# For tests of the command: a data set in MNIST's format, and checks. The caller has `set -euo pipefail`.

# tiny_data FOLDER SIDE TRAIN TEST: every class has its own grey, in stripes of its own. TINY_CLASSES: 1 to 10, else 10.
tiny_data() {
    mkdir -p "$1"
    for class in 0 1 2 3 4 5 6 7 8 9; do
        for ((y = 0; y < $2; y++)); do
            grey=$((y * (class + 1) / $2 % 2 ? 60 + 20 * class : 20))
            head -c "$2" /dev/zero | tr '\0' "\\$(printf %o "$grey")"
        done >"$1/image.$class"
    done
    tiny_part "$1" train "$2" "$3"
    tiny_part "$1" t10k "$2" "$4"
    rm "$1"/image.*
}

# big_endian N: four bytes.
big_endian() {
    printf "\\x$(printf %02x $(($1 >> 24)))\\x$(printf %02x $(($1 >> 16 & 255)))"
    printf "\\x$(printf %02x $(($1 >> 8 & 255)))\\x$(printf %02x $(($1 & 255)))"
}

# tiny_part FOLDER NAME SIDE COUNT
tiny_part() {
    {
        big_endian 2051 && big_endian "$4" && big_endian "$3" && big_endian "$3"
        for ((i = 0; i < $4; i++)); do cat "$1/image.$((i % ${TINY_CLASSES:-10}))"; done
    } >"$1/$2-images-idx3-ubyte"
    {
        big_endian 2049 && big_endian "$4"
        for ((i = 0; i < $4; i++)); do printf "\\x0$((i % ${TINY_CLASSES:-10}))"; done
    } >"$1/$2-labels-idx1-ubyte"
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
