#!/usr/bin/env bash
# usage: selftest_views.sh BUILD SOURCE
# `ctkd selftest views`: the views of files of every kind have Pillow's hashes (tests/golden/image_views.py), and each file
# that differs from a list is named.
set -euo pipefail
. "$2/tests/support/work_folder.bash"
. "$source/tests/support/tiny_data.bash"

mkdir pictures
cp "$source"/tests/golden/pictures/*.{jpg,png,ppm,pgm} pictures # WebP is not read by every build
grep -v '\.webp ' "$source/tests/golden/image_views.txt" >list
files=$(find pictures -type f | wc -l)
expect 0 "$ctkd" selftest views pictures --against list
grep -qx "$files files, all views as in list" stdout && [ ! -s stderr ] || fail "views of Pillow: $(cat stdout stderr)"

# What it prints can be compared with.
expect 0 "$ctkd" selftest views pictures
mv stdout own
[ "$(head -n 1 own)" = "# views: 200 boxes, 224 pixels, horizontal" ] && [ "$(wc -l <own)" -eq $((files + 1)) ] || fail "$(cat own)"
tar cf pictures.tar -C pictures .
expect 0 "$ctkd" selftest views pictures.tar --against own

# Another view, a file that one side alone has, and one that cannot be read.
awk '$1 == "png_rgb.png" { $2 = substr($2, 2) substr($2, 1, 1) } $1 != "png_p.png"' list >other
printf 'lost.png %064d\n' 0 >>other
: >pictures/empty.png
expect 1 "$ctkd" selftest views pictures --against other
for line in 'png_rgb.png: other views than in the list' 'png_p.png: not in the list' 'lost.png: in the list alone'; do
    grep -qx "$line" stdout || fail "no line '$line': $(cat stdout)"
done
grep -q '^ctkd: .*empty\.png: ' stderr || fail "an empty file: $(cat stderr)"
rm pictures/empty.png

refuses() { # TEXT LINES: a list that cannot be read
    printf "$2" >broken
    expect 1 "$ctkd" selftest views pictures --against broken
    [ "$(grep -c '' stderr)" -eq 1 ] && grep -qF "$1" stderr && [ ! -s stdout ] || fail "$1: $(cat stdout stderr)"
}
refuses "broken: line 1: found '', expected '# views: 200 boxes, 224 pixels, horizontal'" ''
refuses "broken: line 1: found '# views: 1 boxes" '# views: 1 boxes, 64 pixels, horizontal\n'
for size in 0 4097 -5 99999999999999999999; do
    refuses "broken: line 1: found '# views: 2 boxes, $size" "# views: 2 boxes, $size pixels, horizontal\\n"
done
refuses "broken: line 2: found 'a.png 12', expected the name of a file and 64 hexadecimal digits" '# views: 2 boxes, 64 pixels, horizontal\na.png 12\n'
expect 1 "$ctkd" selftest views pictures --against nowhere
grep -q 'nowhere' stderr || fail "no list: $(cat stderr)"
mkdir empty
expect 1 "$ctkd" selftest views empty
grep -qx 'ctkd: empty: found no image file' stderr || fail "no image: $(cat stderr)"
expect 2 "$ctkd" selftest . losses --against list
grep -qF -- '--against FILE: expected it with `views IMAGES`' stderr || fail "--against without views: $(cat stderr)"
