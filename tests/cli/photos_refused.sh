#!/usr/bin/env bash
# Folders of images that a run refuses, or stops at: bombs, classes that are missing or come twice, files and folders that
# may not be read. Each is one line that names the file, and what was learned is kept.
# usage: photos_refused.sh BUILD SOURCE
set -euo pipefail
. "$2/tests/support/work_folder.bash"
. "$source/tests/support/tiny_data.bash"
. "$source/tests/support/photos.bash"
photo_folder photos 9 4 ant bee
small="student.network=resnet8 data.size=16 train.threads=2 train.batch=4 train.epochs=2 schedule.kind=constant"
refuse() { # LINE SETTING...: a run is refused with this line, and leaves nothing behind
    # shellcheck disable=SC2086
    expect_error 1 "ctkd: $1" "$ctkd" train $small run.dir=refused "${@:2}"
    [ ! -e refused ] || fail "a run that is refused has a folder"
}

# Files of a few hundred bytes whose headers promise 400 million pixels: refused before there is memory for one of them.
python3 - "$source/tests/golden/pictures/jpeg_420.jpg" <<'PROGRAM'
import struct, sys, zlib
def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
with open("bomb.png", "wb") as file:
    file.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 20000, 20000, 8, 2, 0, 0, 0)) +
               chunk(b"IDAT", zlib.compress(bytes(60001))) + chunk(b"IEND", b""))
jpeg = bytearray(open(sys.argv[1], "rb").read())
frame = jpeg.index(b"\xff\xc0") + 5
jpeg[frame:frame + 4] = struct.pack(">HH", 20000, 20000)
open("bomb.jpg", "wb").write(jpeg)
PROGRAM
expect 0 "$ctkd" train data.set=imagefolder:photos $small run.dir=reference
large="found 20000 x 20000 pixels, expected at most 178956970 (data.max_pixels)"
for bomb in bomb.png bomb.jpg; do
    for part in train val; do
        file=photos/$part/bee/$bomb
        cp $bomb $file
        expect 1 "$ctkd" train data.set=imagefolder:photos $small run.dir=cut run.force=true
        tail -n 1 stderr | grep -q "^ctkd: \(epoch 1: \)\?$file: $large; the run is saved at epoch 1, step [0-5] and can be resumed$" ||
            fail "$file"
        expect 1 "$ctkd" doctor photos
        grep -qxF "unreadable  $file: $large" stdout || fail "doctor: $file"
        rm $file
    done
    expect 1 "$ctkd" predict reference $bomb
    [ "$(head -n 1 stderr)" = "ctkd: $bomb: $large" ] || fail "predict: $bomb"
done

# Classes.
mkdir photos/val/cat
refuse "photos/val: found 1 folder that is no class of the training images (cat), expected the same classes" data.set=imagefolder:photos
rmdir photos/val/cat
mkdir kept
mv photos/val/bee/* kept
refuse "photos/val/bee: found no JPEG, PNG, WebP or PPM image, expected at least one of each class (data.allow_empty=true allows classes without)" \
    data.set=imagefolder:photos
mv kept/* photos/val/bee
tar -cf twice.tar -C photos train val
tar -rf twice.tar -C photos train/bee
refuse "twice.tar: found train/bee/0.ppm twice, expected it once" data.set=imagefolder:twice.tar
printf 'bee\nbee\n' >names
expect_error 1 "ctkd: teacher.classes: names: found 'bee' twice, expected names that differ" \
    "$ctkd" distill data.set=imagefolder:photos teacher.path=reference teacher.classes=names $small run.dir=refused

# What may not be read, as somebody who is not root: for root there is no such file.
if [ "$(id -u)" = 0 ]; then
    chmod 755 .
    mkdir own
    chown 65534:65534 own
    cp "$ctkd" ctkd
    user=(setpriv --reuid=65534 --regid=65534 --clear-groups env HOME="$folder/own" XDG_CACHE_HOME="$folder/own" "$folder/ctkd")
    if ! "${user[@]}" --version >/dev/null 2>&1; then
        echo "skipped: files that may not be read (no setpriv, or another user may not enter $folder)"
        exit 77
    fi
else
    mkdir own
    user=("$ctkd")
fi
for locked in photos photos/train photos/val/bee; do
    mode=$(stat -c %a $locked)
    chmod 0 $locked
    # shellcheck disable=SC2086
    expect_error 1 "ctkd: cannot read $locked: Permission denied" "${user[@]}" train data.set=imagefolder:photos $small run.dir=own/run
    expect_error 1 "ctkd: cannot read $locked: Permission denied" "${user[@]}" doctor photos
    chmod "$mode" $locked
done
[ ! -e own/run ] || fail "a run that is refused has a folder"
chmod 0 twice.tar
# shellcheck disable=SC2086
expect_error 1 "ctkd: cannot read twice.tar: Permission denied" "${user[@]}" train data.set=imagefolder:twice.tar $small run.dir=own/run

# A training image, and one that only evaluation reads: saved, and resumed to the same bits.
for locked in photos/train/bee/3.ppm photos/val/bee/12.ppm; do
    rm -rf own/run
    chmod 0 $locked
    expect 1 "${user[@]}" train data.set=imagefolder:photos $small run.dir=own/run
    tail -n 1 stderr | grep -q "^ctkd: \(epoch 1: \)\?cannot read $locked: Permission denied; the run is saved at epoch 1, step [0-9]* and can be resumed$" ||
        fail "$locked"
    case $locked in
    photos/val/*) grep -q 'saved at epoch 1, step 5 and' stderr || fail "the steps before an evaluation that fails are lost" ;;
    esac
    expect 1 "${user[@]}" doctor photos
    grep -qxF "unreadable  cannot read $locked: Permission denied" stdout || fail "doctor: $locked"
    chmod 644 $locked
    expect 0 "${user[@]}" train own/run/config.yaml --resume
    for weights in last best; do
        cmp reference/$weights.safetensors own/run/$weights.safetensors || fail "$locked: another $weights.safetensors"
    done
done
