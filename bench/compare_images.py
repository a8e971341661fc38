#!/usr/bin/env python3
"""Views of image files in a second, ours and those of others, on one processor and in alternation.

  compare_images.py BUILD FOLDER [--images 400] [--rounds 5] [--processor 0]

FOLDER holds JPEGs. Each side reads a file from the page cache, decodes it, makes the view of 224 pixels that torchvision
defines (training: random resized crop and flip; evaluation: short side 256, centre) and normalises it to floats, which
lie in a batch at the end. The peers: Pillow and numpy, and torchvision's decode_jpeg with its functions for tensors where
this Python has torchvision. Every round runs each side once; printed are medians over the rounds and the ratio to ours.
"""
import argparse
import os
import random
import statistics
import subprocess
import tempfile
import time

import numpy as np
from PIL import Image

try:
    import torch
    import torchvision
    from torchvision.io import ImageReadMode, decode_jpeg, read_file
    from torchvision.transforms.v2 import functional as F
except ImportError:
    torchvision = None

SIZE, RESIZE, BATCH = 224, 256, 32
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def crop_of(width, height):
    """torchvision's RandomResizedCrop.get_params: left, top, width, height."""
    area = width * height
    for _ in range(10):
        target, ratio = area * random.uniform(0.08, 1.0), np.exp(random.uniform(np.log(3 / 4), np.log(4 / 3)))
        w, h = int(round((target * ratio) ** 0.5)), int(round((target / ratio) ** 0.5))
        if 0 < w <= width and 0 < h <= height:
            return random.randint(0, width - w), random.randint(0, height - h), w, h
    side = min(width, height)
    return (width - side) // 2, (height - side) // 2, side, side


def resized(width, height):
    short = min(width, height)
    return int(RESIZE * width / short), int(RESIZE * height / short)


class Pillow:
    name = "Pillow + numpy"

    def __init__(self):
        self.scale = (1 / (255 * np.array(STD, np.float32))).reshape(3, 1, 1)
        self.shift = (np.array(MEAN, np.float32) / np.array(STD, np.float32)).reshape(3, 1, 1)
        self.batch = np.empty((BATCH, 3, SIZE, SIZE), np.float32)

    def view(self, path, train):
        image = Image.open(path).convert("RGB")
        if train:
            left, top, w, h = crop_of(*image.size)
            image = image.crop((left, top, left + w, top + h)).resize((SIZE, SIZE), Image.BILINEAR)
            if random.random() < 0.5:
                image = image.transpose(Image.FLIP_LEFT_RIGHT)
        else:
            w, h = resized(*image.size)
            image = image.resize((w, h), Image.BILINEAR)
            left, top = int(round((w - SIZE) / 2)), int(round((h - SIZE) / 2))
            image = image.crop((left, top, left + SIZE, top + SIZE))
        return image

    def run(self, paths, train):
        for i, path in enumerate(paths):
            x = self.batch[i % BATCH]
            np.multiply(np.asarray(self.view(path, train)).transpose(2, 0, 1), self.scale, out=x)
            x -= self.shift


class Torchvision:
    name = "torchvision.io"

    def __init__(self):
        torch.set_num_threads(1)
        self.batch = torch.empty(BATCH, 3, SIZE, SIZE)

    def run(self, paths, train):
        for i, path in enumerate(paths):
            image = decode_jpeg(read_file(path), mode=ImageReadMode.RGB)
            height, width = image.shape[1:]
            if train:
                left, top, w, h = crop_of(width, height)
                image = F.resized_crop(image, top, left, h, w, [SIZE, SIZE], antialias=True)
                if random.random() < 0.5:
                    image = F.horizontal_flip(image)
            else:
                image = F.center_crop(F.resize(image, [RESIZE], antialias=True), [SIZE, SIZE])
            self.batch[i % BATCH] = F.normalize(F.to_dtype(image, torch.float32, scale=True), MEAN, STD)


class Ours:
    name = "ctkd"

    def __init__(self, build, folder):
        program = [os.path.join(build, "bench_images"), f"imagefolder:{folder}", str(BATCH)]
        self.process = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def seconds(self, train):
        print("train" if train else "evaluation", file=self.process.stdin, flush=True)
        count, seconds = self.process.stdout.readline().split()
        return float(seconds) / int(count)


def link_images(source, folder, count, classes=1):
    """A folder of classes with links to the images of `source`, again and again; the links of part val."""
    names = sorted(n for n in os.listdir(source) if n.lower().endswith((".jpg", ".jpeg")))
    for part in ("train", "val"):
        for k in range(classes):
            os.makedirs(os.path.join(folder, part, f"class{k}"))
        paths = [os.path.join(folder, part, f"class{i % classes}", f"{i:05}.jpg") for i in range(count)]
        for i, path in enumerate(paths):
            os.symlink(os.path.abspath(os.path.join(source, names[i % len(names)])), path)
    return paths


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("folder")
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--processor", type=int, default=0)
    args = parser.parse_args()
    os.sched_setaffinity(0, {args.processor})
    with tempfile.TemporaryDirectory() as folder:
        paths = link_images(args.folder, folder, args.images)
        ours = Ours(args.build, folder)
        peers = [Pillow()] + ([Torchvision()] if torchvision else [])

        def seconds(side, train):
            if side is ours:
                return ours.seconds(train)
            begin = time.perf_counter()
            side.run(paths, train)
            return (time.perf_counter() - begin) / len(paths)

        for train in (True, False):
            sides = [ours, *peers]
            for side in sides:
                seconds(side, train)  # warms up
            rounds = [[seconds(side, train) for side in sides] for _ in range(args.rounds)]
            for k, side in enumerate(sides):
                each = [r[k] / r[0] for r in rounds]
                print(f"{'training' if train else 'evaluation':<11} {side.name:<15} "
                      f"{1 / statistics.median(r[k] for r in rounds):7.1f} images/s  "
                      f"{statistics.median(each):5.2f} times ours [{min(each):.2f}-{max(each):.2f}]", flush=True)
        ours.process.stdin.close()
        ours.process.wait()


if __name__ == "__main__":
    main()
