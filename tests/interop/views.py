#!/usr/bin/env python3
"""Views of image files to the byte as Pillow makes them.

usage: views.py PROGRAM FOLDER [--boxes 200] [--side 224]

PROGRAM is interop_views. Of every image of FOLDER (not below it) are compared: that many random boxes, resized to the side,
where PROGRAM decodes only what the box needs, and the evaluation view. Either order of Pillow's passes is compared, by the
version that runs.
"""
import argparse
import os
import random
import subprocess
import sys

import numpy as np
import PIL
from PIL import Image

ORDER = "pillow_13" if int(PIL.__version__.split(".")[0]) >= 13 else "horizontal"
NO_WEBP = "this build has no WebP support"


def boxes_of(draw, width, height, count):
    """Boxes of all sizes inside the image, among them the whole image and single pixels."""
    yield 0, 0, width, height
    yield width - 1, height - 1, 1, 1
    for _ in range(count - 2):
        w, h = draw.randint(1, width), draw.randint(1, height)
        if ORDER == "horizontal":  # some versions of Pillow 12 begin with the other direction where h > 100 w
            h = min(h, 100 * w)
        yield draw.randint(0, width - w), draw.randint(0, height - h), w, h


def theirs(image, boxes, side):
    for left, top, w, h in boxes:
        yield image.crop((left, top, left + w, top + h)).resize((side, side), Image.Resampling.BILINEAR)
    w, h = image.size
    short = side * 8 // 7
    size = (short, int(short * h / w)) if w < h else (int(short * w / h), short)
    left, top = (int(round((s - side) / 2)) for s in size)
    yield image.resize(size, Image.Resampling.BILINEAR).crop((left, top, left + side, top + side))


def compare(args, path, draw):
    """The number of views that were compared; 0: this build does not read the file."""
    image = Image.open(path)
    if image.format == "GIF":
        return 0
    image = image.convert("RGB")
    boxes = list(boxes_of(draw, *image.size, args.boxes))
    text = "".join(f"{left} {top} {w} {h}\n" for left, top, w, h in boxes)
    done = subprocess.run([args.program, ORDER, str(args.side), path], input=text.encode(), capture_output=True)
    if done.returncode and NO_WEBP in done.stderr.decode():
        return 0
    if done.returncode:
        sys.exit(f"FAILED: {path}: {done.stderr.decode()}")
    ours = np.frombuffer(done.stdout, np.uint8).reshape(-1, 3, args.side, args.side)
    assert len(ours) == len(boxes) + 1
    for view, other, box in zip(ours, theirs(image, boxes, args.side), boxes + ["the evaluation view"]):
        different = int((view != np.asarray(other).transpose(2, 0, 1)).sum())
        if different:
            sys.exit(f"FAILED: {path}: {box}: {different} of {view.size} bytes differ from Pillow {PIL.__version__}")
    return len(ours)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("folder")
    parser.add_argument("--boxes", type=int, default=200)
    parser.add_argument("--side", type=int, default=224)
    args = parser.parse_args()
    draw = random.Random(1)
    paths = sorted(entry.path for entry in os.scandir(args.folder) if entry.is_file() and not entry.name.startswith("."))
    counts = [compare(args, path, draw) for path in paths]
    print(f"views: {sum(counts)} of {sum(n > 0 for n in counts)} files as in Pillow {PIL.__version__}")


main()
