#!/usr/bin/env bash
# Your own data sets in MNIST's format: any number of classes, as the labels, the teacher or data.classes say; names with
# a dot, damaged files.
# usage: own_data.sh BUILD SOURCE
set -euo pipefail
. "$2/tests/support/work_folder.bash"
. "$source/tests/support/tiny_data.bash"
TINY_CLASSES=2 tiny_data two 16 60 40
TINY_CLASSES=3 tiny_data three 16 60 40
tiny_data ten 16 60 40
small="student.network=resnet8 train.threads=1 train.batch=16 schedule.kind=constant train.epochs=1 run.force=true"
outputs() { # FILE N: the classifier has N rows
    "$ctkd" inspect "$1" >inspected
    grep -Eq "^ +says +$2 classes, " inspected || fail "$1: not of $2 classes: $(cat inspected)"
}

# As the labels say: teacher, student and a .pth that does not say its classes.
expect 0 "$ctkd" train data.set=mnist:two $small run.dir=teacher2
grep -q '60 training and 40 test images of 1x16x16, 2 classes' stderr || fail "classes are not said"
! grep -q 'note: data:' stderr || fail "every class has images"
outputs teacher2/last.safetensors 2
expect 0 "$ctkd" convert teacher2/last.safetensors two.pth
for teacher in teacher2 two.pth; do
    expect 0 "$ctkd" distill data.set=mnist:two teacher.path=$teacher $small run.dir=student2
    outputs student2/last.safetensors 2
done
expect 0 "$ctkd" eval student2
expect 0 "$ctkd" check teacher2 mnist:two
grep -q ' 2 classes, images 1x16x16' stdout || fail "check: classes"

# A teacher that knows more: the student gets its classes, those without images are named.
expect 0 "$ctkd" train data.set=mnist:ten $small run.dir=teacher10
expect 0 "$ctkd" convert teacher10/last.safetensors ten.pth
for teacher in teacher10 ten.pth; do
    expect 0 "$ctkd" distill data.set=mnist:two teacher.path=$teacher teacher.tolerance=100 $small run.dir=student10
    grep -q '^note: data: 8 of 10 classes have no training image (label 2, 3, 4, 5 and 4 more): the student gets 10 outputs because the teacher has as many; data.classes=10 confirms that' stderr || fail "classes without images"
    outputs student10/last.safetensors 10
    expect 0 "$ctkd" distill data.set=mnist:two data.classes=10 teacher.path=$teacher teacher.tolerance=100 $small run.dir=student10 run.force=true
    ! grep -q 'because the teacher' stderr || fail "data.classes=10 was asked for"
    expect 0 "$ctkd" eval student10 data.set=mnist:two
done

# One that knows less, and keys that say otherwise.
expect_error 1 "ctkd: teacher2/last.safetensors: found a network of 2 classes, but data set mnist has 3" \
    "$ctkd" distill data.set=mnist:three teacher.path=teacher2 $small run.dir=r
expect_error 1 "ctkd: teacher2/last.safetensors: found a network of 2 classes, but data set mnist has 10" \
    "$ctkd" distill data.set=mnist:ten teacher.path=teacher2 $small run.dir=r
expect_error 1 "ctkd: teacher10/last.safetensors: found a network of 10 classes, but data set mnist has 2" \
    "$ctkd" distill data.set=mnist:two data.classes=2 teacher.path=teacher10 $small run.dir=r
expect_error 1 "ctkd: three/train-labels-idx1-ubyte: record 2: found label 2, expected 0..1" \
    "$ctkd" train data.set=mnist:three data.classes=2 $small run.dir=r
expect_error 1 "ctkd: data.classes: found 1, expected 2..256, or 0 to take the number from the labels" \
    "$ctkd" train data.set=mnist:three data.classes=1 $small run.dir=r
for classes in ten 12345678901 -3; do
    expect_error 1 "ctkd: data.classes: found '$classes', expected a number for data set mnist" \
        "$ctkd" train data.set=mnist:three data.classes=$classes $small run.dir=r
done
expect 0 "$ctkd" train data.set=mnist:two data.classes=200 $small run.dir=many
outputs many/last.safetensors 200
grep -q '^note: data: 198 of 200 classes have no training image (label 2, 3, 4, 5 and 194 more)' stderr || fail "198 classes"
TINY_CLASSES=1 tiny_data one 16 20 20
expect_error 1 "ctkd: data.set: found only label 0 in mnist:one, expected at least two classes (set data.classes if some have no images)" \
    "$ctkd" train data.set=mnist:one $small run.dir=r
mkdir untested && cp three/train-* untested && cp two/t10k-* untested
expect 0 "$ctkd" train data.set=mnist:untested $small run.dir=r
grep -q '^note: data: 1 of 3 classes have no test image (label 2)' stderr || fail "a class without test images"

# What is not defined over one image: a batch norm at 1x1, and relations between images.
tiny_data small 4 33 20
expect_error 1 "ctkd: train.batch: the last batch holds 1 of 33 images: layer3.0.bn1: found one image of 1x1, which has no deviation for a batch norm, expected at least two images in a batch" \
    "$ctkd" train data.set=mnist:small $small run.dir=r
expect 0 "$ctkd" train data.set=mnist:small data.limit=32 $small run.dir=r
expect_error 1 "ctkd: layer3.0.bn1: found one image of 1x1, which has no deviation for a batch norm, expected at least two images in a batch" \
    "$ctkd" train data.set=mnist:small $small run.dir=r train.batch=1
expect 0 "$ctkd" distill data.set=mnist:ten data.limit=33 teacher.path=teacher10 teacher.tolerance=100 method.name=sp $small run.dir=r
grep -q '^note: batch: the last batch of every epoch has a single image, .* data.limit=32 leaves it out' stderr || fail "a last batch of one"
expect 0 "$ctkd" distill data.set=mnist:ten data.limit=32 teacher.path=teacher10 teacher.tolerance=100 method.name=sp $small run.dir=r
! grep -q '^note: batch:' stderr || fail "no batch of one"

# Names with a dot, also compressed; a name that is nearly right is offered.
mkdir dots && cp two/* dots
for part in train t10k; do
    mv dots/$part-images-idx3-ubyte dots/$part-images.idx3-ubyte
    gzip -c dots/$part-labels-idx1-ubyte >dots/$part-labels.idx1-ubyte.gz && rm dots/$part-labels-idx1-ubyte
done
expect 0 "$ctkd" eval teacher2 data.set=mnist:dots
mv dots/train-images.idx3-ubyte dots/train_images.idx3
expect_error 1 "ctkd: dots: found neither train-images-idx3-ubyte nor train-images-idx3-ubyte.gz, expected one of them" \
    "$ctkd" eval teacher2 data.set=mnist:dots
mv dots/train_images.idx3 dots/train_images-idx3-ubyte
expect_error 1 "ctkd: dots: found neither train-images-idx3-ubyte nor train-images-idx3-ubyte.gz, expected one of them; did you mean train_images-idx3-ubyte? Rename it." \
    "$ctkd" eval teacher2 data.set=mnist:dots

# A damaged .gz: one bit of a label.
mkdir damaged && cp two/* damaged && cd damaged
gzip -n t10k-labels-idx1-ubyte
size=$(stat -c %s t10k-labels-idx1-ubyte.gz)
printf '\x01' | dd of=t10k-labels-idx1-ubyte.gz bs=1 seek=$((size - 8)) conv=notrunc 2>/dev/null
cd ..
expect_error 1 "ctkd: damaged/t10k-labels-idx1-ubyte.gz: the file is damaged: its contents do not match gzip's checksum (CRC-32)" \
    "$ctkd" eval teacher2 data.set=mnist:damaged

# Three channels and a deviation that is far too small: the note about it has numbers of 40 digits.
mkdir rgb
for part in train t10k; do
    big_endian 2052 20 3 16 16
    { printf %b "$bytes"; yes "$(printf '\001\360')" 2>/dev/null | head -c $((20 * 3 * 16 * 16)) || true; } >rgb/$part-images-idx4-ubyte
    cp two/$part-labels-idx1-ubyte labels
    { head -c 4 labels; printf '\0\0\0\024'; tail -c +9 labels | head -c 20; } >rgb/$part-labels-idx1-ubyte
done
expect 1 "$ctkd" train data.set=mnist:rgb $small data.std=2e-37,2e-37,2e-37 run.dir=tiny_deviation
grep -q '^note: normalisation: mean and deviation of the images as loaded are [0-9-]' stderr || fail "no note of a wrong deviation"
echo "own data: classes, names and sums as said"
