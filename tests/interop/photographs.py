#!/usr/bin/env python3
"""`ctkd predict` on JPEGs, and ONNX Runtime on the pixels that Pillow makes of them.

usage: photographs.py CTKD FOLDER

A network is trained for an epoch on generated photographs, wider than high (there Pillow 12 and 13 scale in the same
order), and exported with and without its normalisation.
"""
import json
import os
import subprocess
import sys

import numpy as np
import onnxruntime
from PIL import Image

SIZE, RESIZE = 64, 72
MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
CTKD, FOLDER = sys.argv[1:3]


def run(*command):
    done = subprocess.run([CTKD, *command], cwd=FOLDER, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"FAILED: ctkd {' '.join(command)}: {done.stderr}")
    return done.stdout


def draw(rng, kind):
    """Stripes or rings with noise; sides between 70 and 200."""
    height = rng.integers(70, 120)
    width = rng.integers(height, 200)
    y, x = np.mgrid[0:height, 0:width] / 16.0
    wave = np.sin(x * 2) if kind == "stripes" else np.sin(np.hypot(x - 4, y - 3) * 3)
    image = 128 + 90 * wave[..., None] * rng.uniform(0.3, 1, 3) + rng.normal(0, 12, (height, width, 3))
    return Image.fromarray(image.clip(0, 255).astype(np.uint8))


def view(name):
    """Resize(RESIZE), CenterCrop(SIZE): bytes [3][SIZE][SIZE]."""
    image = Image.open(name).convert("RGB")
    width, height = image.size
    image = image.resize((RESIZE * width // height, RESIZE), Image.Resampling.BILINEAR)
    left, top = (round((side - SIZE) / 2) for side in image.size)
    return np.asarray(image.crop((left, top, left + SIZE, top + SIZE))).transpose(2, 0, 1)


def main():
    rng = np.random.default_rng(0)
    for part, n in ("train", 12), ("val", 6):
        for kind in "stripes", "rings":
            os.makedirs(os.path.join(FOLDER, "photographs", part, kind))
            for i in range(n):
                draw(rng, kind).save(os.path.join(FOLDER, "photographs", part, kind, f"{i}.jpg"), quality=90)
    run("train", "data.set=imagefolder:photographs", f"size={SIZE}", f"data.resize={RESIZE}", "student.network=resnet18",
        "epochs=1", "optimizer.lr=0.001", "batch=8", "train.threads=2", "run.dir=photographs-run")
    predictions = [json.loads(line) for line in run("predict", "photographs-run", "photographs/val", "--json").splitlines()]
    pixels = np.stack([view(os.path.join(FOLDER, p["file"])) for p in predictions]).astype(np.float32)
    images = {"normalise": pixels / 255, "plain": (pixels / 255 - MEAN[:, None, None]) / STD[:, None, None]}
    for name, options in ("normalise", ["--normalise", "--fold"]), ("plain", []):
        run("convert", "photographs-run", f"{name}.onnx", *options)
        session = onnxruntime.InferenceSession(os.path.join(FOLDER, f"{name}.onnx"))
        names = session.get_modelmeta().custom_metadata_map.get("class_names", "").split("\n")
        logits = session.run(None, {session.get_inputs()[0].name: images[name]})[0].astype(np.float64)
        expected = np.exp(logits - logits.max(1, keepdims=True))
        expected /= expected.sum(1, keepdims=True)
        for prediction, row in zip(predictions, expected):
            for entry in prediction["classes"]:
                error = abs(entry["probability"] - row[entry["label"]])
                if not error <= 1e-5 or names[entry["label"]] != entry["class"]:
                    sys.exit(f"FAILED: {name}.onnx: {prediction['file']}: {entry}, ONNX Runtime has {row}, {names}")
    print(f"photographs: {len(predictions)} JPEGs as in ONNX Runtime")


main()
