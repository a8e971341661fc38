#!/usr/bin/env python3
"""What `ctkd export` hands over: timm loads the folder, and its logits are those of the ONNX file on raw pixels.

usage: exported.py CTKD FOLDER (that of tensorboard_runs.py, with its data)
"""
import importlib.metadata
import json
import os
import subprocess
import sys

import numpy as np
import onnxruntime
import torch

CTKD, FOLDER = sys.argv[1], os.path.join(sys.argv[2], "tensorboard")
# What timm imports: PyPI's torchvision is built for CUDA, and its operators do not load beside a PyTorch for CPUs alone. Those
# that its import describes are declared; nothing calls them.
if "+cpu" in torch.__version__ and "+" not in importlib.metadata.version("torchvision"):
    for operator in ("nms", "qnms"):
        torch.library.define(f"torchvision::{operator}", "(Tensor dets, Tensor scores, float threshold) -> Tensor")
import timm  # noqa: E402


def check(what, condition):
    if not condition:
        sys.exit(f"FAILED: {what}")


def ctkd(*arguments):
    done = subprocess.run((CTKD, *arguments), capture_output=True, text=True)
    check(done.stderr, done.returncode == 0)


os.chdir(FOLDER)
ctkd("train", "data.set=mnist:data", "student.network=resnet18", "data.channels=3", "data.pad_to=64", "train.batch=16",
     "train.epochs=1", "train.max_steps=2", "run.dir=runs/resnet18")
ctkd("export", "runs/resnet18", "handed-over")
check("files", sorted(os.listdir("handed-over")) == ["README.md", "config.json", "model.onnx", "model.safetensors"])
with open("handed-over/config.json") as file:
    config = json.load(file)
model = timm.create_model("local-dir:handed-over", pretrained=True).eval()
check("timm's classes and size", model.num_classes == 10 and tuple(model.pretrained_cfg["input_size"]) == (3, 64, 64))
pixels = np.random.default_rng(7).random((4, 3, 64, 64), dtype=np.float32)
mean, std = (np.array(config["pretrained_cfg"][key], np.float32)[:, None, None] for key in ("mean", "std"))
with torch.no_grad():
    expected = model(torch.from_numpy((pixels - mean) / std)).numpy()
session = onnxruntime.InferenceSession("handed-over/model.onnx", providers=["CPUExecutionProvider"])
found = session.run(None, {session.get_inputs()[0].name: pixels})[0]
error = np.abs(found - expected).max() / np.abs(expected).max()
check(f"logits differ by {error:.2g} of the largest, expected 1e-5", error < 1e-5)
print(f"exported.py: timm {importlib.metadata.version('timm')} and ONNX Runtime agree to {error:.1g}")
