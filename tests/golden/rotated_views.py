"""Golden values of rotated training views: Pillow. Writes rotated_views.txt beside itself.

Every draw is one of the library's generator (include/ctkd/random.h): the angle (purpose 11) uniform between minus and
plus MOST degrees, then the window and the flip (purpose 4). As torchvision's RandomRotation and RandomHorizontalFlip do
with images of Pillow: the nearest pixel, and black outside. Bytes are planar [channels][height][width], three to a
number: 65536 a + 256 b + c.

pixels: IMAGES images; CASE.ID: the view of each, in epoch 3 of seed 5.
"""
import pathlib

import numpy as np
from PIL import Image, ImageOps

import networks

SEED, EPOCH, IMAGES, HEIGHT, WIDTH = 5, 3, 4, 11, 14
PURPOSE_AUGMENT, PURPOSE_ROTATION = 4, 11
CASES = {"flip.20": (0, 20), "crop_flip.20": (4, 20), "flip.180": (0, 180)}


def words(purpose, image):
    return [int(word[image]) for word in networks.philox(SEED, purpose, EPOCH, IMAGES)]


def view(image, number, padding, most):
    angle = most * (words(PURPOSE_ROTATION, number)[0] / 2 ** 31 - 1)
    top, left, flip = words(PURPOSE_AUGMENT, number)[:3]
    top, left = (word * (2 * padding + 1) // 2 ** 32 - padding for word in (top, left))
    image = image.rotate(angle, Image.Resampling.NEAREST)
    image = image.transform(image.size, Image.Transform.AFFINE, (1, 0, left, 0, 1, top))
    return ImageOps.mirror(image) if flip >> 31 else image


def put(key, arrays):
    flat = np.concatenate([np.asarray(a).transpose(2, 0, 1).ravel() for a in arrays]).astype(int)
    assert len(flat) % 3 == 0
    values = flat[0::3] * 65536 + flat[1::3] * 256 + flat[2::3]
    print(key, len(values), *values, file=out)


pixels = np.random.default_rng(20261130).integers(0, 256, (IMAGES, HEIGHT, WIDTH, 3), dtype=np.uint8)
with open(pathlib.Path(__file__).with_suffix(".txt"), "w") as out:
    put("pixels", pixels)
    for case, (padding, most) in CASES.items():
        for i, image in enumerate(pixels):
            put(f"{case}.{i}", [view(Image.fromarray(image), i, padding, most)])
