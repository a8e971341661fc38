#!/usr/bin/env python3
"""Writes pictures/* (small image files of every kind) and pictures.txt: what Pillow makes of them.

usage: pictures.py      needs Pillow, NumPy and cjpeg (libjpeg-turbo-progs); run it with Pillow 12 and again with Pillow 13: each fills the lines of
                        its own order of passes and leaves the other's

Lines: whole FILE W H HASH                             Image.open(FILE).convert("RGB")
       crop ORDER FILE left top w h side HASH          .crop(box).resize((side, side), BILINEAR)
       centre ORDER FILE short crop HASH               torchvision's Resize(short), CenterCrop(crop)
       upright FILE ORIENTATION W H HASH               ImageOps.exif_transpose of those that their EXIF turns
       boxes SEED HASH                                 1000 boxes of RandomResizedCrop from uniforms of that seed
HASH is 64-bit FNV-1a of bytes [3][h][w], or of the boxes as text. ORDER is horizontal (Pillow below 13) or pillow_13.
"""
import io
import math
import os
import random
import struct
import subprocess
import zlib

import numpy as np
import PIL
from PIL import Image, ImageOps

from image_views import HERE, ORDER, splitmix


def fnv(data):
    h = 0xCBF29CE484222325
    for b in data:
        h = (h ^ b) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{h:016x}"


def planes(image):
    return np.asarray(image).transpose(2, 0, 1).tobytes()


def scene(rng, w, h):
    """Smooth colours with some edges: what chroma subsampling and filters react to."""
    y, x = np.mgrid[0:h, 0:w]
    base = np.stack([127 + 120 * np.sin(x / (5 + 9 * c) + y / (7 + 3 * c) + c) for c in range(3)], -1)
    base += 60 * ((x // 9 + y // 7) % 2)[..., None] + rng.normal(0, 6, (h, w, 3))
    return Image.fromarray(np.clip(base, 0, 255).astype(np.uint8))


def ycck(image):
    """A CMYK JPEG as Photoshop writes it: Adobe marker with transform 2, its components stored as YCC and K."""
    b = io.BytesIO()
    image.convert("CMYK").save(b, "JPEG", quality=80)
    data = b.getvalue()
    at = data.find(b"Adobe")
    return data if at < 0 else data[:at + 11] + b"\x02" + data[at + 12:]


def png(pixels, interlaced):
    """A PNG of 8 or 16 bits a colour as Pillow does not write it: of 16 bits, or interlaced by Adam7."""
    height, width = pixels.shape[:2]
    depth = 8 * pixels.itemsize
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    rows = b""
    for left, top, right, down in passes if interlaced else ((0, 0, 1, 1),):
        part = pixels[top::down, left::right]
        if part.shape[1]:
            rows += b"".join(b"\0" + row.astype(f">u{pixels.itemsize}").tobytes() for row in part)

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, interlaced)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def files(rng):
    image = scene(rng, 83, 61)
    for name, subsampling in (("444", 0), ("422", 1), ("420", 2)):
        for progressive in (False, True):
            yield f"jpeg_{name}{'_progressive' if progressive else ''}.jpg", "JPEG", image, dict(
                subsampling=subsampling, progressive=progressive, quality=80)
    yield "jpeg_restart.jpg", "JPEG", image, dict(subsampling=2, restart_marker_blocks=2, quality=80)
    yield "jpeg_grey.jpg", "JPEG", image.convert("L"), dict(quality=80)
    yield "jpeg_cmyk.jpg", "JPEG", image.convert("CMYK"), dict(quality=80)
    yield "jpeg_row.jpg", "JPEG", scene(rng, 40, 1), {}
    yield "jpeg_column.jpg", "JPEG", scene(rng, 1, 40), {}
    yield "jpeg_pixel.jpg", "JPEG", scene(rng, 1, 1), {}
    yield "jpeg_tall.jpg", "JPEG", scene(rng, 24, 150), dict(subsampling=2)
    yield "jpeg_wide.jpg", "JPEG", scene(rng, 170, 20), dict(subsampling=2)
    small = scene(rng, 29, 23)
    for mode in ("RGB", "L", "1", "P", "RGBA", "LA"):
        yield f"png_{mode.lower()}.png", "PNG", small.convert(mode), {}
    deep = np.arange(29 * 23, dtype=np.uint16).reshape(23, 29)
    yield "png_grey16.png", "PNG", Image.fromarray(deep), {}
    yield "pnm_colour.ppm", "PPM", small, {}
    yield "pnm_grey.pgm", "PPM", small.convert("L"), {}
    yield "webp_lossy.webp", "WEBP", small, dict(quality=70)
    yield "webp_lossless.webp", "WEBP", small.convert("RGBA"), dict(lossless=True)


def write_files():
    rng = np.random.default_rng(5)
    folder = os.path.join(HERE, "pictures")
    for name, kind, image, options in files(rng):
        path = os.path.join(folder, name)
        if not os.path.exists(path):
            image.save(path, kind, **options)
    for name, sample in (("jpeg_440.jpg", "1x2"), ("jpeg_411.jpg", "4x1")):  # forms that Pillow does not write
        path = os.path.join(folder, name)
        if not os.path.exists(path):
            ppm = io.BytesIO()
            scene(rng, 83, 61).save(ppm, "PPM")
            open(path, "wb").write(subprocess.run(["cjpeg", "-quality", "80", "-sample", sample], check=True,
                                                  input=ppm.getvalue(), stdout=subprocess.PIPE).stdout)
    path = os.path.join(folder, "jpeg_ycck.jpg")
    if not os.path.exists(path):
        open(path, "wb").write(ycck(scene(rng, 50, 40)))
    deep = np.random.default_rng(6).integers(0, 1 << 16, (23, 29, 3), np.uint16)
    small = np.asarray(scene(np.random.default_rng(7), 29, 23))
    for name, pixels, interlaced in (("rgb16", deep, 0), ("interlaced", small, 1), ("interlaced16", deep[:3, :2], 1)):
        path = os.path.join(folder, f"png_{name}.png")
        if not os.path.exists(path):
            open(path, "wb").write(png(pixels, interlaced))
    for name, orientation, options in (("jpeg_turned.jpg", 6, dict(subsampling=2)), ("png_turned.png", 8, {}),
                                       ("webp_turned.webp", 7, dict(quality=70))):
        path = os.path.join(folder, name)
        if not os.path.exists(path):
            exif = Image.Exif()
            exif[0x112] = orientation
            Image.fromarray(small).save(path, exif=exif, **options)
    path = os.path.join(folder, "pnm_text.ppm")
    if not os.path.exists(path):
        open(path, "w").write("P3\n# a comment\n3 2\n# another\n100\n0 50 100  1 2 3\n99 98 97 33 66 99 10 20 30 40 50 60\n")
    return sorted(os.listdir(folder))


def views(names):
    draw = random.Random(3)
    for name in names:
        image = Image.open(os.path.join(HERE, "pictures", name))
        orientation = image.getexif().get(0x112, 1)
        if orientation != 1:
            upright = ImageOps.exif_transpose(image).convert("RGB")
            yield None, f"upright {name} {orientation} {upright.width} {upright.height} {fnv(planes(upright))}"
        image = image.convert("RGB")
        w, h = image.size
        yield None, f"whole {name} {w} {h} {fnv(planes(image))}"
        for _ in range(6):
            bw, bh = draw.randint(1, w), draw.randint(1, h)
            left, top = draw.randint(0, w - bw), draw.randint(0, h - bh)
            side = draw.choice((5, 16, 64))
            view = image.crop((left, top, left + bw, top + bh)).resize((side, side), Image.BILINEAR)
            yield ORDER, f"crop {ORDER} {name} {left} {top} {bw} {bh} {side} {fnv(planes(view))}"
        short, crop = 24, 20
        longer = int(short * max(w, h) / min(w, h))
        size = (short, longer) if w < h else (longer, short)
        left, top = (int(round((s - crop) / 2.0)) for s in size)
        view = image.resize(size, Image.BILINEAR).crop((left, top, left + crop, top + crop))
        yield ORDER, f"centre {ORDER} {name} {short} {crop} {fnv(planes(view))}"


def boxes(seed):
    """torchvision's get_params, its tensors as float32, from uniforms of 24 bits; the fallback for every tenth."""
    f = np.float32
    words = splitmix(seed)
    low, high = f(math.log(f(3 / 4))), f(math.log(f(4 / 3)))
    text = ""
    for i in range(1000):
        width, height = 1 + next(words) % 3000, 1 + next(words) % 3000
        if i % 10 == 0:
            ratio = width / height
            w, h = width, height
            if ratio < 3 / 4:
                h = int(round(width / (3 / 4)))
            elif ratio > 4 / 3:
                w = int(round(height * (4 / 3)))
            text += f"{(width - w) // 2} {(height - h) // 2} {w} {h}\n"
            continue
        a, r = (f(next(words) >> 40) * f(2 ** -24) for _ in range(2))
        area = width * height * float(a * (f(1.0) - f(0.08)) + f(0.08))
        aspect = float(f(math.exp(float(r * (high - low) + low))))
        w, h = int(round(math.sqrt(area * aspect))), int(round(math.sqrt(area / aspect)))
        text += f"{w} {h}\n" if 0 < w <= width and 0 < h <= height else "none\n"
    return fnv(text.encode())


def main():
    path = os.path.join(HERE, "pictures.txt")
    other = [line for line in (open(path).read().split("\n") if os.path.exists(path) else [])
             if line.split()[:1] in (["crop"], ["centre"]) and line.split()[1] != ORDER]
    versions = [line for line in (open(path).read().split("\n") if os.path.exists(path) else [])
                if line.startswith("# Pillow") and (int(line.split()[2].split(".")[0]) >= 13) != (ORDER == "pillow_13")]
    lines = [line for _, line in views(write_files())]
    lines += [f"boxes {seed} {boxes(seed)}" for seed in range(100)]
    with open(path, "w") as out:
        out.write("\n".join(sorted(versions + [f"# Pillow {PIL.__version__}, NumPy {np.__version__}"]) +
                            sorted(lines + other)) + "\n")


if __name__ == "__main__":
    main()
