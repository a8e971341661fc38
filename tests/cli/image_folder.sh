#!/usr/bin/env bash
# Image folders end to end: training, evaluation and distillation, resumed runs, what is left out, bad files.
# usage: image_folder.sh BUILD SOURCE
set -euo pipefail
. "$2/tests/support/work_folder.bash"
. "$source/tests/support/tiny_data.bash"
. "$source/tests/support/photos.bash"
photo_folder photos 9 4 ant bee
pictures=$source/tests/golden/pictures
cp "$pictures/jpeg_420.jpg" "photos/train/ant/with a blank.jpg"
cp "$pictures/jpeg_grey.jpg" photos/val/bee/grey.JPEG
cp "$pictures/png_p.png" photos/train/bee/palette.png
: >photos/train/ant/anim.gif
small="student.network=resnet8 data.size=16 train.threads=2 train.batch=4 schedule.kind=constant run.force=true"
same() { # FILE FILE
    cmp -s "$1" "$2" || fail "$1 and $2 differ"
}

# A teacher and its student; the same bits with other readers and threads.
expect 0 "$ctkd" train data.set=imagefolder:photos $small train.epochs=2 run.dir=teacher
grep -q '^imagefolder, 20 training and 9 test images of 3x16x16, 2 classes$' stderr || fail "sizes are not said"
grep -q '^note: data: 1 GIF left out: JPEG, PNG, WebP and PPM are read (`ctkd doctor` lists them)$' stderr || fail "the GIF is not named"
expect 0 "$ctkd" train data.set=imagefolder:photos $small train.epochs=2 run.dir=again data.readers=1 data.threads=3
same teacher/last.safetensors again/last.safetensors
expect 0 "$ctkd" train data.set=imagefolder:photos $small train.epochs=2 run.dir=again data.roi=false
same teacher/last.safetensors again/last.safetensors
expect 0 "$ctkd" distill data.set=imagefolder:photos teacher.path=teacher teacher.tolerance=100 $small train.epochs=1 run.dir=student
expect 0 "$ctkd" eval student
wrong=$(python3 -c 'import json; e = json.load(open("student/evaluation.json")); print(round(e["n"] * (1 - e["top1"] / 100)))')
expect 0 "$ctkd" report student -o page.html
[ "$(grep -o 'base64,[^"]*"><figcaption>[^ <]*\.\(ppm\|JPEG\): <b>' page.html | wc -l)" = "$wrong" ] || fail "a page does not name the files of $wrong wrong images"
expect 0 "$ctkd" train data.set=imagefolder:photos $small train.epochs=1 run.dir=in_memory data.view=crop_flip
expect 0 "$ctkd" datasets
grep -q '^imagefolder: ' stdout || fail "imagefolder is not listed"

# The same bits from a .tar of the folder, whatever lies around it and in whatever order.
tar -cf photos.tar photos/val photos/train
expect 0 "$ctkd" train data.set=imagefolder:photos.tar $small train.epochs=2 run.dir=again
same teacher/last.safetensors again/last.safetensors
same teacher/images.txt again/images.txt
gzip -k photos.tar
expect_error 1 "ctkd: photos.tar.gz: found a compressed file, from which images cannot be read one by one, expected a folder, a .zip or a .tar" \
    "$ctkd" train data.set=imagefolder:photos.tar.gz $small run.dir=again

# Interrupted at each step of two epochs, and resumed with other threads.
for step in 1 2 4 5 6 9; do
    expect 0 "$ctkd" train data.set=imagefolder:photos $small train.epochs=2 run.dir=cut train.max_steps=$step
    tar=$([ $step = 4 ] && echo data.set=imagefolder:photos.tar || true)
    expect 0 "$ctkd" train cut/config.yaml --resume train.max_steps=0 data.readers=2 data.threads=$((step % 3)) $tar
    same teacher/last.safetensors cut/last.safetensors
done

# A file that vanishes while a run waits: what was learned is saved, and the run is resumed when the file is back.
expect 0 "$ctkd" train data.set=imagefolder:photos $small train.epochs=2 run.dir=cut train.max_steps=3
mv photos/train/ant/3.ppm kept
ln -s nowhere photos/train/ant/3.ppm
expect 1 "$ctkd" train cut/config.yaml --resume train.max_steps=0
grep -q '^ctkd: cannot read photos/train/ant/3.ppm: No such file or directory; the run is saved at epoch [12], step [0-9]* and can be resumed$' stderr || fail "vanished"
rm photos/train/ant/3.ppm
expect_error 1 "ctkd: cut/images.txt: line 4: the data have 'train ant train/ant/4.ppm', expected 'train ant train/ant/3.ppm' as when the run began" \
    "$ctkd" train cut/config.yaml --resume train.max_steps=0
mv kept photos/train/ant/3.ppm
expect 0 "$ctkd" train cut/config.yaml --resume train.max_steps=0
same teacher/last.safetensors cut/last.safetensors

# What the files decide about a key is said when they are open.
line='note: this run does not use data.resize (for image files that are resized), data.crop_scale (for image files with data.view=resized_crop), data.holdout (for image files without a validation folder), data.readers (for image files with data.view=resized_crop)'
for i in 0 1 2 3; do
    for part in train val; do
        photo one_size/$part/ant/$i.ppm 32 32 0 $i
        photo one_size/$part/bee/$i.ppm 32 32 1 $i
    done
done
expect 0 "$ctkd" train data.set=imagefolder:one_size student.network=resnet8 train.threads=1 train.batch=4 train.epochs=1 run.dir=one_size_run \
    data.holdout=0.3 data.readers=2 data.resize=300 data.crop_scale=0.5,1
[ "$(grep 'does not use' stderr)" = "$line" ] || fail "one size: $(cat stderr)"
for command in "eval one_size_run" "check one_size_run imagefolder:one_size" "doctor one_size"; do
    "$ctkd" $command data.holdout=0.3 >stdout 2>stderr || [ "$command" = "doctor one_size" ] || fail "$command"
    grep -Eq '^note: `ctkd (eval|check|doctor DATA)` does not use data.holdout \(for image files without a validation folder\)$' stderr || fail "$command: $(cat stderr)"
done

# Classes alone in the folder: a share is held out, and said.
mkdir flat
cp -r photos/train/ant photos/train/bee flat
expect 0 "$ctkd" train data.set=imagefolder:flat $small train.epochs=1 run.dir=r data.holdout=0.3
! grep -q 'does not use' stderr || fail "data.holdout: $(cat stderr)"
grep -q '^note: data: flat has no validation folder: 6 of 20 images are held out as test images (data.holdout=0.3); 1 GIF left out' stderr || fail "held out"

# A line end in a name does not make another file of it when the run is resumed.
cp flat/ant/0.ppm $'flat/ant/a\nb.ppm'
expect 0 "$ctkd" train data.set=imagefolder:flat $small train.epochs=1 run.dir=line_end data.holdout=0.3
expect 0 "$ctkd" train line_end/config.yaml --resume
rm $'flat/ant/a\nb.ppm'
# Nor two classes of the name of one.
mkdir $'flat/two\nlines' && cp flat/ant/0.ppm $'flat/two\nlines'
expect_error 1 "ctkd: flat: found a class with the name 'two\x0Alines', expected a line of UTF-8 text" \
    "$ctkd" train data.set=imagefolder:flat $small run.dir=r
rm -r $'flat/two\nlines'

# Bad data: one line that names it.
try() { # LINE SETTING...: the run is refused with this line
    expect_error 1 "$1" "$ctkd" train $small run.dir=r "${@:2}"
}
for bad in empty:'the file is empty, expected an image' html:'found no image (first bytes 3c 68 74), expected JPEG, PNG, WebP or PPM'; do
    case ${bad%%:*} in
    empty) : >photos/train/bee/bad.jpg ;;
    html) echo '<html></html>' >photos/train/bee/bad.jpg ;;
    esac
    expect 1 "$ctkd" train data.set=imagefolder:photos $small run.dir=r
    tail -n 1 stderr | grep -qF "ctkd: photos/train/bee/bad.jpg: ${bad#*:}" || fail "${bad%%:*}"
done
head -c 500 "$pictures/jpeg_420.jpg" >photos/train/bee/bad.jpg
expect 1 "$ctkd" train data.set=imagefolder:photos $small run.dir=r
tail -n 1 stderr | grep -q '^ctkd: photos/train/bee/bad.jpg: damaged JPEG of 500 bytes: ' || fail "truncated"
echo train/bee/bad.jpg >exclude
expect 0 "$ctkd" train data.set=imagefolder:photos $small run.dir=r train.epochs=1 data.exclude=exclude
rm photos/train/bee/bad.jpg
try "ctkd: data.exclude: exclude: found 'train/bee/bad.jpg', expected the name of a file in photos" \
    data.set=imagefolder:photos data.exclude=exclude
mv photos/val/bee kept
try "ctkd: photos/val: found no folder for 1 of 2 classes (bee), expected images of each (data.allow_empty=true allows classes without)" \
    data.set=imagefolder:photos
mv kept photos/val/bee
printf 'bee\nbee\n' >names
try "ctkd: names: found 'bee' twice, expected names that differ" data.set=imagefolder:photos data.classes=names
ln -s .. photos/train/bee/up
try "ctkd: photos/train/bee/up: this link leads back to a folder above it, expected files that have one name" \
    data.set=imagefolder:photos
rm photos/train/bee/up
try "ctkd: data.classes: found 3, but photos has 2 classes; expected that number, 0, or a file with one class name per line" \
    data.set=imagefolder:photos data.classes=3
try "ctkd: data.resize: found 8, expected 0, or data.size (16) to 8192" data.set=imagefolder:photos data.resize=8
try "ctkd: data.crop_scale: found '0.5', expected two numbers with a comma" data.set=imagefolder:photos data.crop_scale=0.5
try "ctkd: data.crop_scale: found 0.5,0.25, expected two shares of the area between 0 and 1, the smaller one first" \
    data.set=imagefolder:photos data.crop_scale=0.5,0.25
try "ctkd: data.set: './photos' is a path without a name, expected NAME or NAME:PATH with NAME one of fashion-mnist, mnist, cifar10, cifar100, imagefolder, imagenet, tiny-imagenet; imagefolder:./photos reads a folder for each class" \
    data.set=./photos
expect 1 "$ctkd" train $small run.dir=r data.set=photos
grep -q "^ctkd: data.set: 'photos' is a path without a name, .*; imagefolder:photos reads a folder for each class$" stderr || fail "a folder's name alone"
