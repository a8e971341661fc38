"""Golden values of the strong view's operations: Pillow. Writes strong_view.txt beside itself.
Pillow 13.0.0, numpy 2.4.6 (the random images).

Bytes are planar [channels][height][width], three to a number: 65536 a + 256 b + c.
IMAGE.pixels: the images; OP.IMAGE.magnitudes and OP.IMAGE.I: each operation at several magnitudes;
cutout.IMAGE.I.at: side, x, y; view.I.at: top, left, flip, op, magnitude, op, magnitude, side, x, y.
"""
import pathlib

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

rng = np.random.default_rng(20230618)
out = open(pathlib.Path(__file__).with_suffix(".txt"), "w")


def f32(values):
    """As C reads them from the file."""
    return [float(np.float32(v)) for v in values]


def put(key, values):
    print(key, len(values), *("%.9g" % v for v in values), file=out)


def put_pixels(key, image):
    array = np.asarray(image)
    flat = (array.transpose(2, 0, 1) if array.ndim == 3 else array).reshape(-1).astype(int)
    flat = np.concatenate([flat, np.zeros(-len(flat) % 3, int)])
    put(key, flat[0::3] * 65536 + flat[1::3] * 256 + flat[2::3])


def random_image(height, width, channels):
    """Channels of different ranges and histograms: noise on a slope, so that tables matter."""
    slope = np.linspace(0, 1, height)[:, None, None] * np.linspace(1, 0.3, width)[None, :, None]
    noise = rng.random((height, width, channels)) ** np.array([1.0, 2.0, 0.5])[:channels]
    low, high = np.array([17, 0, 60])[:channels], np.array([201, 255, 130])[:channels]
    array = np.rint(low + (high - low) * (0.5 * slope + 0.5 * noise)).astype(np.uint8)
    return Image.fromarray(array if channels == 3 else array[:, :, 0])


def affine(image, *a):
    return image.transform(image.size, Image.Transform.AFFINE, a)


enhance = (0.05, 0.95)
third = (-0.3, 0.3)
operations = [  # in the order of enum ctkd__strong_op
    ("AutoContrast", None, lambda im, v: ImageOps.autocontrast(im)),
    ("Brightness", enhance, lambda im, v: ImageEnhance.Brightness(im).enhance(v)),
    ("Color", enhance, lambda im, v: ImageEnhance.Color(im).enhance(v)),
    ("Contrast", enhance, lambda im, v: ImageEnhance.Contrast(im).enhance(v)),
    ("Equalize", None, lambda im, v: ImageOps.equalize(im)),
    ("Identity", None, lambda im, v: im),
    ("Posterize", (4, 7.99), lambda im, v: ImageOps.posterize(im, int(v))),
    ("Rotate", (-30, 30), lambda im, v: im.rotate(v)),
    ("Sharpness", enhance, lambda im, v: ImageEnhance.Sharpness(im).enhance(v)),
    ("ShearX", third, lambda im, v: affine(im, 1, v, 0, 0, 1, 0)),
    ("ShearY", third, lambda im, v: affine(im, 1, 0, 0, v, 1, 0)),
    ("Solarize", (0, 256), lambda im, v: ImageOps.solarize(im, v)),
    ("TranslateX", third, lambda im, v: affine(im, 1, 0, v * im.size[0], 0, 1, 0)),
    ("TranslateY", third, lambda im, v: affine(im, 1, 0, 0, 0, 1, v * im.size[1])),
]


def cutout(image, side, x, y):
    width, height = image.size
    if side <= 0:
        return image
    side *= width
    x0, y0 = int(max(0, x * width - side / 2)), int(max(0, y * height - side / 2))
    box = (x0, y0, min(width, x0 + side), min(height, y0 + side))
    image = image.copy()
    ImageDraw.Draw(image).rectangle(box, (125, 123, 114) if image.mode == "RGB" else 123)
    return image


def magnitudes_of(bounds, count):
    """The two ends and draws between them."""
    if not bounds:
        return [0.0]
    low, high = bounds
    return f32([low, high, *rng.uniform(low, high, count - 2)] if count > 2 else rng.uniform(low, high, count))


images = {"rgb": (random_image(32, 32, 3), 2), "grey": (random_image(32, 32, 1), 2),
          "small": (random_image(9, 7, 3), 5)}
for name, (image, count) in images.items():
    put_pixels(f"{name}.pixels", image)
    for op, bounds, apply in operations:
        magnitudes = magnitudes_of(bounds, count)
        put(f"{op}.{name}.magnitudes", magnitudes)
        for i, v in enumerate(magnitudes):
            put_pixels(f"{op}.{name}.{i}", apply(image, v))
    for i in range(count):
        at = f32([rng.uniform(0, 0.5), *rng.uniform(0, 1, 2)])
        put(f"cutout.{name}.{i}.at", at)
        put_pixels(f"cutout.{name}.{i}", cutout(image, *at))

small = images["small"][0]
for i in range(24):
    top, left = (int(v) for v in rng.integers(-4, 5, 2))
    flip, picks = int(rng.integers(2)), rng.integers(len(operations), size=2)
    view = small.transform(small.size, Image.Transform.AFFINE, (1, 0, left, 0, 1, top))
    view = ImageOps.mirror(view) if flip else view
    at = [top, left, flip]
    for pick in picks:
        op, bounds, apply = operations[pick]
        v = magnitudes_of(bounds, 1)[0]
        view = apply(view, v)
        at += [int(pick), v]
    at += f32([rng.uniform(0, 0.5), *rng.uniform(0, 1, 2)])
    put(f"view.{i}.at", at)
    put_pixels(f"view.{i}", cutout(view, *at[-3:]))
