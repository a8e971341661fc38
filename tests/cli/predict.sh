#!/usr/bin/env bash
# `ctkd predict`: the probabilities of what `ctkd eval` evaluates, for image files of every kind; files that cannot be
# read; the forms of its output; any number of threads and any batch.
# usage: predict.sh BUILD SOURCE
set -euo pipefail
. "$2/tests/support/work_folder.bash"
. "$source/tests/support/tiny_data.bash"
. "$source/tests/support/bare_weights.bash"

# compare JSON-LINES LOGITS.npy: softmax of row i is the i-th line, to float's digits.
cat >compare.py <<'PY'
import ast, json, math, struct, sys

def rows(path):
    data = open(path, "rb").read()
    size = struct.unpack("<H", data[8:10])[0]
    shape = ast.literal_eval(data[10:10 + size].decode())["shape"]
    values = struct.unpack(f"<{shape[0] * shape[1]}f", data[10 + size:])
    return [values[i * shape[1]:(i + 1) * shape[1]] for i in range(shape[0])]

lines = [json.loads(line) for line in open(sys.argv[1])]
logits = rows(sys.argv[2])
assert len(lines) == len(logits), (len(lines), len(logits))
for i, (line, row) in enumerate(zip(lines, logits)):
    most = max(row)
    exps = [math.exp(v - most) for v in row]
    found = line["classes"]
    assert len(found) == len(row), line
    assert all(a["probability"] >= b["probability"] for a, b in zip(found, found[1:])), line
    for entry in found:
        expected = exps[entry["label"]] / sum(exps)
        assert abs(entry["probability"] - expected) <= 1e-6, (i, line["file"], entry, expected)
PY
compare() { python3 compare.py "$1" "$2" || fail "$1 and $2 differ"; }

# Small grey images: what predict sees of a PGM is the image of the data set, padded or not, grey or repeated.
tiny_data data 16 40 20
i=0
mkdir grey
while IFS= read -r -d '' row; do
    printf 'P5\n16 16\n255\n' | cat - "$row" >"grey/$(printf %02d $i).pgm"
    i=$((i + 1))
done < <(cd "$folder" && tail -c +17 data/t10k-images-idx3-ubyte | split -b 256 -a 2 - image- && printf '%s\0' image-*)
small="data.set=mnist:data data.mean=0.31 data.std=0.3 student.network=resnet8 train.threads=1 train.batch=16 train.epochs=1"
for view in "" "data.pad_to=24 data.channels=3"; do
    # shellcheck disable=SC2086
    expect 0 "$ctkd" train $small $view run.dir=run --force
    expect 0 "$ctkd" eval run --dump logits
    expect 0 "$ctkd" predict run grey --json --top 10
    [ ! -s stderr ] || fail "predict has something to say"
    cp stdout run.jsonl
    compare run.jsonl logits/logits.npy
done
# Weights elsewhere, in other formats, are the same network; what they do not say, keys do.
mkdir elsewhere
expect 0 "$ctkd" convert run elsewhere/student.pth
expect 0 "$ctkd" convert run elsewhere/student.onnx --fold --normalise
for file in elsewhere/student.pth elsewhere/student.onnx; do
    expect 0 "$ctkd" predict $file grey --json --top 10
    compare stdout logits/logits.npy
done
bare_weights run/last.safetensors elsewhere/bare.safetensors
expect 0 "$ctkd" predict elsewhere/bare.safetensors grey --json --top 10 set=mnist:data data.channels=3 pad_to=24 \
    data.mean=0.31 data.std=0.3 data.resize=16
compare stdout logits/logits.npy
expect 0 "$ctkd" predict elsewhere/bare.safetensors grey/00.pgm --top 1
printf 'one\n' >few
expect_error 1 "ctkd: data.classes: few: found 1 names, expected 10, the classes of elsewhere/bare.safetensors" \
    "$ctkd" predict elsewhere/bare.safetensors grey data.mean=0,0,0 data.std=1,1,1 data.classes=few
seq -f 'digit %g' 0 9 >digits
expect 0 "$ctkd" predict elsewhere/bare.safetensors grey/00.pgm --top 1 data.classes=digits
grep -q '^grey/00.pgm: digit [0-9] ' stdout || fail "data.classes"
grep -q '^elsewhere/bare.safetensors: .*normalised: the constants of ImageNet are used' stderr || fail "no word on the constants"

# Photographs: every kind of file that is read, in folders; the evaluation view of the run.
pictures=$source/tests/golden/pictures
bee='bee, "B"' # a name that CSV and JSON write in their ways
mkdir -p photos/train/{ant,"$bee"} photos/val/{ant,"$bee"}
for file in "$pictures"/{jpeg,png,pnm}*; do # WebP is read where the library was there
    cp "$file" "photos/train/ant/$(basename "$file")"
    cp "$file" "photos/train/$bee/$(basename "$file")"
    cp "$file" "photos/val/$bee/$(basename "$file")"
done
cp "$pictures/jpeg_420.jpg" "photos/val/ant/a, \"b\".JPG"
expect 0 "$ctkd" train data.set=imagefolder:photos data.size=40 data.resize=44 data.view=resized_crop \
    student.network=resnet18 train.batch=32 train.max_steps=1 train.threads=2 run.dir=ants
expect 0 "$ctkd" eval ants --dump photo-logits
expect 0 "$ctkd" predict ants photos/val --json
compare stdout photo-logits/logits.npy
cp stdout photos.jsonl
cp ants/last.safetensors alone.safetensors # what its metadata say is enough
expect 0 "$ctkd" predict alone.safetensors photos/val --json
cmp stdout photos.jsonl || fail "the weights alone predict otherwise"
expect 0 "$ctkd" predict ants photos/val --json train.threads=1 train.batch=3
compare stdout photo-logits/logits.npy
grep -q '"class": "ant", "label": 0' photos.jsonl && grep -qF '"class": "bee, \"B\"", "label": 1' photos.jsonl || fail "names"
printf 'one\ntwo\n' >renamed # the command line's names come first, those of the run's configuration are in its weights
expect 0 "$ctkd" predict ants photos/val/ant --top 1 data.classes=renamed
grep -Eq '^photos/val/ant/a, "b"\.JPG: (one|two) [0-9.]+ %$' stdout || fail "data.classes of a run: $(cat stdout)"
expect_error 1 "ctkd: data.classes: few: found 1 names, expected 2, the classes of ants/last.safetensors" \
    "$ctkd" predict ants photos/val/ant data.classes=few
expect 2 "$ctkd" predict ants photos/val/ant data.classes=10
[ "$(head -n 1 stderr)" = "ctkd predict: data.classes: found 10, expected a file with one class name per line: the number of classes is that of the weights" ] ||
    fail "a number of classes: $(cat stderr)"
expect 0 "$ctkd" predict ants photos/val/ant data.test_limit=1 data.labels=fine train.seed=3 data.orientation=ignore train.slices=0
[ "$(cat stderr)" = 'note: `ctkd predict` does not use data.labels, data.test_limit, train.seed' ] || fail "keys of predict: $(cat stderr)"
cp ants/config.yaml config.yaml
sed -i 's/^  classes: .*/  classes: gone/' ants/config.yaml
grep -q '^  classes: gone$' ants/config.yaml || fail "no data.classes in config.yaml"
expect 0 "$ctkd" predict ants photos/val --json
cmp stdout photos.jsonl || fail "the file that data.classes named is read again"
mv config.yaml ants/config.yaml

# The other forms, and how many classes.
expect 0 "$ctkd" predict ants photos/val/ant "$pictures/png_rgb.png" --top 1
[ "$(wc -l <stdout)" = 2 ] && grep -Eq '^photos/val/ant/a, "b"\.JPG: (ant|bee, "B") [0-9.]+ %$' stdout || fail "text: $(cat stdout)"
expect 0 "$ctkd" predict ants photos/val/ant --csv
[ "$(head -n 1 stdout)" = file,rank,label,class,probability ] && [ "$(wc -l <stdout)" = 3 ] &&
    grep -Eq '^"photos/val/ant/a, ""b""\.JPG",2,[01],(ant|"bee, ""B"""),[0-9.e-]+$' stdout || fail "CSV: $(cat stdout)"

# Files that cannot be read: a line each, the others go on.
mkdir mixed
cp "$pictures/png_rgb.png" mixed/z.png
head -c 300 "$pictures/jpeg_444.jpg" >mixed/cut.jpg
echo '<!DOCTYPE html><html></html>' >mixed/page.jpg
: >mixed/empty.png
printf 'GIF89a' >mixed/one.gif
echo text >mixed/notes.txt
mkdir mixed/.hidden && cp mixed/cut.jpg mixed/.hidden/
expect 1 "$ctkd" predict ants mixed photos/val/ant
[ "$(wc -l <stdout)" = 2 ] && grep -q '^mixed/z.png: ' stdout || fail "the others: $(cat stdout)"
for name in cut.jpg page.jpg empty.png one.gif; do
    [ "$(grep -c "^ctkd: mixed/$name: " stderr)" = 1 ] || fail "no line of $name"
done
grep -qx 'note: 1 file of the folders does not have the name of an image, and is left out' stderr || fail "notes.txt"
[ "$(tail -n 1 stderr)" = "ctkd: 4 of 6 images could not be read" ] || fail "no last line"

expect_error 1 "ctkd: nowhere: No such file or directory" "$ctkd" predict ants nowhere
mkdir none
expect_error 1 "ctkd: none: found no image (.jpg, .png, .webp, .ppm, ...)" "$ctkd" predict ants none
expect 2 "$ctkd" predict ants
expect_error 2 "ctkd predict: found --json and --csv, expected one of them" "$ctkd" predict ants none --json --csv
expect 1 "$ctkd" predict ants photos/val data.max_pixels=10
grep -q 'photos/val/bee, "B"/jpeg_444.jpg: ' stderr || fail "data.max_pixels"

# An image that its EXIF turns is shown as it is stored, or upright.
{
    head -c 2 "$pictures/jpeg_411.jpg"
    printf '\xff\xe1\x00\x22Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00'
    tail -c +3 "$pictures/jpeg_411.jpg"
} >turned.jpg
expect 0 "$ctkd" predict ants turned.jpg "$pictures/jpeg_411.jpg" --json
[ "$(sed 's/.*"classes"//' stdout | sort -u | wc -l)" = 1 ] || fail "turned without being asked"
expect 0 "$ctkd" predict ants turned.jpg "$pictures/jpeg_411.jpg" --json data.orientation=apply
[ "$(sed 's/.*"classes"//' stdout | sort -u | wc -l)" = 2 ] || fail "data.orientation=apply"

# A name with a line end stays one line.
cp "$pictures/jpeg_411.jpg" $'two\nlines.jpg'
expect 0 "$ctkd" predict ants $'two\nlines.jpg'
[ "$(wc -l <stdout)" = 1 ] && grep -q '^two\\x0Alines.jpg: ' stdout || fail "a line end: $(cat stdout)"
