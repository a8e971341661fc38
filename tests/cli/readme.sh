#!/usr/bin/env bash
# usage: readme.sh BUILD SOURCE
# builds: ctkd example_plugin
# Runs every command of README.md's sh blocks as it stands there, in a temporary folder that looks like a checkout.
# Training commands are cut to a few steps by a wrapper around ctkd. scripts/test is what runs this, so that it is
# only checked to be what CI calls; of scripts/build, since tests only read the build directory, that its targets exist.
set -euo pipefail
build=$(cd "$1" && pwd) source=$(cd "$2" && pwd)
if grep -q "^CTKD_SANITIZE:[^=]*=." "$build/CMakeCache.txt"; then
    echo "skipped: a build with sanitizers; what the commands run has tests of its own"
    exit 77
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
ln -s "$source/configs" configs
ln -s "$source/doc" doc
mkdir build scripts data
ln -s "$source/scripts/demo" scripts/demo
ln -s "$source/scripts/demo-photos" scripts/demo-photos
ln -s "$build/example_plugin" build/example_plugin
for file in "$build"/*; do
    name=$(basename "$file")
    [ -e "build/$name" ] || [ "$name" = ctkd ] || ln -s "$file" "build/$name"
done
cat >build/ctkd <<SCRIPT
#!/usr/bin/env bash
case "\$*" in
*--help*) exec "$build/ctkd" "\$@" ;;
*\ configs/folder/*) exec "$build/ctkd" "\$@" data.size=32 data.test_limit=4 train.batch=4 train.max_steps=1 ;;
train\ *imagefolder:* | distill\ *imagefolder:*) exec "$build/ctkd" "\$@" train.max_steps=2 ;;
train\ * | distill\ *) exec "$build/ctkd" "\$@" data.limit=100 data.test_limit=100 train.max_steps=2 ;;
check\ *) exec "$build/ctkd" "\$@" data.test_limit=100 ;;
*) exec "$build/ctkd" "\$@" ;;
esac
SCRIPT
chmod +x build/ctkd

# A small data set in the exact format of cifar-100-binary.tar.gz: one image of each class in both parts.
mkdir cifar-100-binary
for class in $(seq 0 99); do
    printf "\\x00\\x$(printf %02x "$class")"
    head -c 3072 "$build/ctkd" # any bytes
done >cifar-100-binary/train.bin
cp cifar-100-binary/train.bin cifar-100-binary/test.bin
tar czf data/cifar-100-binary.tar.gz cifar-100-binary

# Images of one's own, and a teacher from elsewhere.
mkdir data/mine
cp /usr/share/datasets/fashion-mnist/*-ubyte.gz data/mine
build/ctkd train data.set=mnist:data/mine student.network=resnet20 run.dir=elsewhere 2>output || { cat output; exit 1; }
build/ctkd convert elsewhere teacher.pth
build/ctkd convert elsewhere teacher.onnx

# What stands for torchvision's files: networks of the same names, for other classes.
mkdir teachers
for file in resnet18-f37072fd resnet34-b627a593; do
    "$build/ctkd" train data.set=mnist:data/mine data.channels=3 data.pad_to=32 student.network="${file%-*}" \
        train.batch=4 data.limit=8 data.test_limit=4 train.max_steps=1 run.dir=elsewhere run.force=true 2>output ||
        { cat output; exit 1; }
    build/ctkd convert elsewhere teachers/$file.pth
done

commands=$(sed -n '/^```sh$/,/^```$/{/^```/d;p}' "$source/README.md" | sed -e ':join' -e '/\\$/{N;s/ *\\\n */ /;b join' -e '}')
[ "$(wc -l <<<"$commands")" -ge 10 ] || { echo "README.md: fewer commands than expected"; exit 1; }
unset CTKD_BUILD CTKD_RUNS # of whoever runs the tests
export CTKD_SETUP=no CTKD_IMAGES=2
while read -r command; do
    echo "\$ $command"
    if [ "$command" = scripts/test ]; then
        grep -q "^step .* scripts/test\$" "$source/.ci/run"
        continue
    fi
    if [[ $command = "scripts/build build "* ]]; then
        eval "words=(${command#scripts/build build })"
        cmake --build "$build" --target help >targets
        for target in ${words[0]}; do
            grep -Eq "(^|[ .])$target(:|$)" targets ||
                { echo "README.md: '$command': no target $target"; exit 1; }
        done
        continue
    fi
    if [ "$command" = "pip install ./python" ]; then # needs packages: python.sh runs it, where they are
        grep -q 'install ./python' "$source/tests/cli/python.sh"
        continue
    fi
    bash -euc "$command" >output 2>&1 </dev/null || { cat output; echo "README.md: '$command' failed"; exit 1; }
done <<<"$commands"
cmp temperature.svg doc/figures/temperature.svg || { echo "doc/figures/temperature.svg: is not what README.md's command draws"; exit 1; }
build/ctkd plot doc/results/resnet56-resnet20/kd doc/results/resnet56-resnet20/kd+ctkd --panel top1 -o top1.svg
cmp top1.svg doc/figures/top1.svg || { echo "doc/figures/top1.svg: is not what doc/results.md's command draws"; exit 1; }
# The demonstration's table has its four rows and a temperature for each epoch.
scripts/demo >output 2>&1
for row in teacher labels kd kd+ctkd; do
    grep -Eq "^${row/+/\\+} +[0-9.]+ %" output || { cat output; echo "scripts/demo: no row for $row"; exit 1; }
done
grep -Eq '^temperature of kd\+ctkd.*: [0-9]+\.[0-9]+' output
# That of photographs ends with its table, wrong images and the file; of a folder without a split too.
photos() { # LINE...: what its output must have
    local line
    for line in '^teacher +resnet34 +[0-9.]+ %' '^labels +resnet18 +[0-9.]+ %' '^kd\+ctkd +resnet18 +[0-9.]+ %' "$@"; do
        grep -Eq "$line" output || { cat output; echo "scripts/demo-photos: no line '$line'"; exit 1; }
    done
    [ "$(grep -c '^wrong: ' output)" = "$(sed -n 's/ of [0-9]* test images are taken.*//p' output)" ] ||
        { cat output; echo "scripts/demo-photos: wrong images"; exit 1; }
}
scripts/demo-photos >output 2>&1 || { cat output; exit 1; }
photos '^[0-9]+ of 10 test images' '^runs/demo-photos/student.onnx names the same classes'
mkdir -p 'my photos'
cp -r runs/demo-photos/photographs/train/{bag,boot} 'my photos'
scripts/demo-photos 'my photos' >output 2>&1 || { cat output; exit 1; }
photos '^[0-9]+ of 2 test images'
