#!/usr/bin/env python3
"""Lists the views that Pillow makes of image files, for `ctkd selftest views FOLDER --against LIST`.

usage: image_views.py FOLDER [--boxes 200] [--side 224] > LIST      the files in and below FOLDER
       image_views.py                                               writes image_views.txt: pictures/*, 20 boxes, 64 pixels

The first line has the numbers and the order of Pillow's two passes (horizontal below Pillow 13, pillow_13 from then on), each other
one the name of a file and SHA-256 of bytes [3][side][side]: boxes of the image, resized to the side, and torchvision's Resize(8/7 side),
CenterCrop(side). The boxes are drawn by splitmix64 from the file's size in bytes, as in src/selftest/selftest_views.c. Needs Pillow.
"""
import argparse
import hashlib
import os

import PIL
from PIL import Image

HERE = os.path.dirname(os.path.abspath(__file__))
ORDER = "pillow_13" if int(PIL.__version__.split(".")[0]) >= 13 else "horizontal"
ENDINGS = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".ppm", ".pgm", ".pnm", ".webp")


def splitmix(state):
    while True:
        state = (state + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
        z = state
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
        z = (z ^ z >> 27) * 0x94D049BB133111EB & 0xFFFFFFFFFFFFFFFF
        yield z ^ z >> 31


def boxes_of(seed, width, height, count):
    """The image, its last pixel, then boxes of all sizes; none is more than 100 times as high as wide: Pillow 12.2 begins with the other
    direction there."""
    yield 0, 0, width, min(height, 100 * width)
    yield width - 1, height - 1, 1, 1
    words = splitmix(seed)
    for _ in range(count - 2):
        w, h = 1 + next(words) % width, 1 + next(words) % height
        h = min(h, 100 * w)
        yield next(words) % (width - w + 1), next(words) % (height - h + 1), w, h


def planes(image):
    return b"".join(band.tobytes() for band in image.split())


def centre(image, side):
    w, h = image.size
    short = side * 8 // 7
    size = (short, int(short * h / w)) if w < h else (int(short * w / h), short)
    left, top = (int(round((s - side) / 2)) for s in size)
    return image.resize(size, Image.Resampling.BILINEAR).crop((left, top, left + side, top + side))


def views_hash(path, boxes, side):
    image = Image.open(path).convert("RGB")
    total = hashlib.sha256()
    for left, top, w, h in boxes_of(os.path.getsize(path), *image.size, boxes):
        total.update(planes(image.crop((left, top, left + w, top + h)).resize((side, side), Image.Resampling.BILINEAR)))
    total.update(planes(centre(image, side)))
    return total.hexdigest()


def names_below(folder):
    for at, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if name.lower().endswith(ENDINGS) and not name.startswith("."):
                yield os.path.relpath(os.path.join(at, name), folder)


def lines(folder, boxes, side):
    yield f"# views: {boxes} boxes, {side} pixels, {ORDER}"
    for name in names_below(folder):
        yield f"{name} {views_hash(os.path.join(folder, name), boxes, side)}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?")
    parser.add_argument("--boxes", type=int, default=200)
    parser.add_argument("--side", type=int, default=224)
    args = parser.parse_args()
    if args.folder:
        print("\n".join(lines(args.folder, args.boxes, args.side)))
        return
    with open(os.path.join(HERE, "image_views.txt"), "w") as out:
        out.write("\n".join([f"# image_views.py: Pillow {PIL.__version__}"] + list(lines(os.path.join(HERE, "pictures"), 20, 64))) + "\n")


if __name__ == "__main__":
    main()
