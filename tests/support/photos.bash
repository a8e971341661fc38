# For tests of the command: folders of small pictures. The caller has `set -euo pipefail`.

# photo FILE WIDTH HEIGHT KIND ID: a PPM with stripes whose number tells the kind, on a ground that tells the id.
photo() {
    local x y value row bytes=
    mkdir -p "$(dirname "$1")"
    for ((y = 0; y < $3; y++)); do
        row=
        for ((x = 0; x < $2; x++)); do
            if ((y * ($4 + 1) * 2 / $3 % 2)); then value=$((200 + 10 * $4)); else value=$(((x * 7 + $5 * 31) % 90)); fi
            printf -v value '\\x%02x' "$value"
            row+=$value$value$value
        done
        bytes+=$row
    done
    printf "P6\n%d %d\n255\n$bytes" "$2" "$3" >"$1"
}

# photo_folder FOLDER TRAIN VAL CLASS...: FOLDER/train/CLASS and FOLDER/val/CLASS with so many pictures of several sizes.
photo_folder() {
    local folder=$1 train=$2 val=$3 kind=0 class i
    shift 3
    for class in "$@"; do
        for ((i = 0; i < train + val; i++)); do
            photo "$folder/$( ((i < train)) && echo train || echo val)/$class/$i.ppm" $((30 + i % 7)) $((30 + i % 5)) $kind $i
        done
        kind=$((kind + 1))
    done
}
