#!/usr/bin/env bash
# `ctkd doctor DATA`: every file is decoded; what it finds, the list that it writes, and data.exclude that reads it.
# usage: doctor_data.sh BUILD SOURCE
set -euo pipefail
. "$2/tests/support/work_folder.bash"
. "$source/tests/support/tiny_data.bash"
pictures=$source/tests/golden/pictures
mkdir -p photos/train/{ant,bee} photos/val/{ant,bee}
cp "$pictures"/jpeg_{411,420,422,444}.jpg photos/train/ant
cp "$pictures"/jpeg_{440,restart,420_progressive,422_progressive}.jpg photos/train/bee
cp "$pictures"/jpeg_444_progressive.jpg photos/val/ant
cp "$pictures"/png_rgb.png photos/val/bee

# Nothing is wrong.
expect 0 "$ctkd" doctor photos --exclude none
[ "$(cat stdout)" = "8 training and 2 test images of 2 classes: 0 unreadable, 0 duplicate (0 of them in both parts), 0 damaged, 0 cmyk, 0 rotated, 0 of odd size" ] || fail "$(cat stdout)"
[ "$(cat stderr)" = "none: 0 images for data.exclude" ] && [ -f none ] && [ ! -s none ] || fail "an empty list"
expect 0 "$ctkd" doctor imagefolder:photos data.exclude=none

# Everything is.
cp "$pictures/jpeg_444_progressive.jpg" photos/train/ant/leak.jpg
cp "$pictures/jpeg_440.jpg" photos/train/bee/twin.jpg
cp "$pictures/jpeg_422.jpg" photos/train/bee/other.jpg
cp "$pictures/jpeg_cmyk.jpg" "$pictures/jpeg_wide.jpg" photos/val/bee
# An EXIF segment with orientation 6 behind the start of the image.
{
    head -c 2 "$pictures/jpeg_restart.jpg"
    printf '\xff\xe1\x00\x22Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00\x00\x00\x00\x00'
    tail -c +3 "$pictures/jpeg_restart.jpg"
} >photos/val/ant/turned.jpg
head -c 400 "$pictures/jpeg_420.jpg" >photos/train/ant/cut.jpg
echo '<html>' >photos/val/ant/page.jpg
: >photos/train/bee/empty.png
printf GIF89a >photos/train/bee/anim.gif
expect 1 "$ctkd" doctor photos --exclude list
cat >expected <<'TEXT'
unreadable  photos/train/ant/cut.jpg: 
duplicate   train/ant/leak.jpg: the bytes of val/ant/jpeg_444_progressive.jpg, a test image
unreadable  photos/train/bee/empty.png: 
duplicate   train/bee/other.jpg: the bytes of train/ant/jpeg_422.jpg, in another class
duplicate   train/bee/twin.jpg: the bytes of train/bee/jpeg_440.jpg
unreadable  photos/val/ant/page.jpg: 
rotated     val/ant/turned.jpg: EXIF orientation 6
cmyk        val/bee/jpeg_cmyk.jpg
odd size    val/bee/jpeg_wide.jpg: 170 x 20
left out    train/bee/anim.gif: GIF
13 training and 6 test images of 2 classes: 3 unreadable, 3 duplicate (1 of them in both parts), 0 damaged, 1 cmyk, 1 rotated, 1 of odd size
left out: 1 GIF (JPEG, PNG, WebP and PPM are read)
TEXT
diff expected <(sed -E 's/^(unreadable  [^:]*: ).*/\1/' stdout) || fail "findings"
grep -q '^unreadable  photos/train/ant/cut.jpg: damaged JPEG of 400 bytes' stdout || fail "no reason"
cat >expected <<'TEXT'
train/ant/cut.jpg
train/ant/jpeg_422.jpg
train/ant/leak.jpg
train/bee/empty.png
train/bee/other.jpg
train/bee/twin.jpg
val/ant/page.jpg
TEXT
diff expected list || fail "the list"
[ "$(cat stderr)" = "list: 7 images for data.exclude" ] || fail "the list is not told"

# The same of an archive.
cp stdout whole
tar -cf photos.TAR photos
expect 1 "$ctkd" doctor photos.TAR
diff <(sed "s,^unreadable  photos/,unreadable  photos.TAR: photos/," whole) stdout || fail "an archive"

# A name that the list cannot hold is refused, and is one line of what is printed.
for name in $'a\nb.jpg' $'\xe9.jpg'; do
    shown=$(LC_ALL=C sed -z 's/\n/\\x0A/; s/\xe9/\\xE9/' < <(printf %s "$name"))
    cp "$pictures/jpeg_444_progressive.jpg" "photos/train/ant/$name"
    expect 1 "$ctkd" doctor photos --exclude other
    grep -qxF "duplicate   train/ant/$shown: the bytes of val/ant/jpeg_444_progressive.jpg, a test image" stdout || fail "$shown: $(cat stdout)"
    [ "$(cat stderr)" = "ctkd: --exclude: other was not written: found the file name 'train/ant/$shown', expected a line of UTF-8 text, as data.exclude reads names: rename the file" ] ||
        fail "$shown"
    [ ! -e other ] || fail "a list was written"
    rm "photos/train/ant/$name"
done

# As JSON; and the list makes a data set of it that trains.
expect 1 "$ctkd" doctor photos --json
python3 - stdout <<'PY' || fail "JSON: $(cat stdout)"
import json, sys
found = json.load(open(sys.argv[1]))
assert [found[key] for key in ("train", "test", "unreadable", "duplicates", "in_both_parts", "cmyk", "rotated", "odd_size")] == \
    [13, 6, 3, 3, 1, 1, 1, 1], found
files = {file["file"]: file for file in found["files"]}
assert len(files) == 9 and files["val/ant/turned.jpg"]["orientation"] == 6 and found["left_out"] == "1 GIF"
assert found["left_out_files"] == [{"file": "train/bee/anim.gif", "why": "GIF"}], found
assert files["train/ant/leak.jpg"]["duplicate_of"] == "val/ant/jpeg_444_progressive.jpg"
assert "damaged JPEG" in files["train/ant/cut.jpg"]["unreadable"] and files["val/bee/jpeg_wide.jpg"]["odd_size"]
PY
expect 0 "$ctkd" doctor photos data.exclude=list
expect 0 "$ctkd" train data.set=imagefolder:photos data.exclude=list student.network=resnet8 data.size=16 train.batch=4 \
    train.epochs=1 train.threads=1 run.dir=run

# Folders of classes that are not used are named in both forms.
mkdir -p more/{train,val,test}/ant
for part in train val test; do
    cp "$pictures/jpeg_444_progressive.jpg" more/$part/ant
done
expect 1 "$ctkd" doctor more
grep -qxF "not used: test/ (test images are those of the first of val/, valid/, validation/, test/ and testing/)" stdout || fail "not used: $(cat stdout)"
expect 1 "$ctkd" doctor more --json
grep -q '"not_used": "test/"' stdout || fail "not_used: $(cat stdout)"

expect 1 "$ctkd" doctor photos data.max_pixels=100
grep -q '^unreadable  photos/train/ant/jpeg_411.jpg: .*data.max_pixels' stdout || fail "data.max_pixels"
expect_error 1 "ctkd: cannot read nowhere: No such file or directory" "$ctkd" doctor imagefolder:nowhere
expect_error 2 "ctkd doctor: found --exclude without DATA, expected a folder of images or imagefolder:PATH" \
    "$ctkd" doctor --exclude list
expect_error 1 "ctkd: data.set: found 'fashion-mnist', expected a data set of image files, such as imagefolder:PATH" \
    "$ctkd" doctor photos data.set=fashion-mnist
expect 1 "$ctkd" doctor photos data.size=64 train.epochs=3 data.allow_empty=true
grep -qx 'note: `ctkd doctor DATA` does not use data.size, train.epochs' stderr || fail "keys of doctor: $(cat stderr)"
