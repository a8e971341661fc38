#!/usr/bin/env python3
"""Classifiers of torchvision and timm, as PyTorch exports them to ONNX, here and in ONNX Runtime; run by hand.

usage: model_collections.py INTEROP_LOGITS FOLDER SIDE traced|dynamo|free-traced|free-dynamo COLLECTION:NAME...

COLLECTION is torchvision or timm (installed beside torch without their dependencies; doc/teachers.md has the versions and
what came out). Weights are drawn, and the statistics of batch norms; the images are Fashion-MNIST's, three times the grey
channel, padded to SIDE. dynamo writes the weights beside the model, as it does by default; "free-" leaves height and width
free and exports at another size. One line per model: the largest difference over the largest logit, or why it is refused.
"""
import os
import subprocess
import sys
import warnings

import numpy as np
import onnxruntime
import torch

# torchvision's compiled part, which classifiers do not use, fits one build of torch only.
library = torch.library.Library("torchvision", "DEF")
for operator in ("nms", "qnms"):
    library.define(operator + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

N, CLASSES = 4, 10
LOGITS, FOLDER, SIDE, EXPORTER = *sys.argv[1:3], int(sys.argv[3]), sys.argv[4]


def build(collection, name):
    torch.manual_seed(1)
    if collection == "timm":
        import timm
        net = timm.create_model(name, pretrained=False, num_classes=CLASSES)
    else:
        import torchvision
        net = torchvision.models.get_model(name, weights=None, num_classes=CLASSES)
    with torch.no_grad():
        for key, value in net.state_dict().items():
            if key.endswith("running_var"):
                value.uniform_(0.75, 1.25)
            elif key.endswith("running_mean"):
                value.normal_(0, 0.1)
    return net.eval()


def export(net, path):
    free = EXPORTER.startswith("free-")
    side = SIDE + 32 if free else SIDE
    images, options = (torch.zeros(2, 3, side, side),), {"input_names": ["x"], "verbose": False}
    if EXPORTER.endswith("traced"):
        axes = {0: "n", 2: "h", 3: "w"} if free else {0: "n"}
        torch.onnx.export(net, images, path, dynamo=False, dynamic_axes={"x": axes}, **options)
    else:
        axes = {0: torch.export.Dim.DYNAMIC, 2: torch.export.Dim.DYNAMIC, 3: torch.export.Dim.DYNAMIC} if free else \
            {0: torch.export.Dim("batch", min=1, max=1024)}
        torch.onnx.export(net, images, path, dynamo=True, dynamic_shapes=(axes,), **options)


def compare(path):
    images = os.path.join(FOLDER, "images")
    done = subprocess.run([LOGITS, images, path, "data.set=fashion-mnist", f"data.pad_to={SIDE}", "data.channels=3",
                           f"train.batch={N}"], capture_output=True, text=True)
    if done.returncode:
        return "refused: " + done.stderr.strip().split(": ", 2)[-1]
    x = np.fromfile(images, np.float32).reshape(N, 3, SIDE, SIDE)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    expected = session.run(None, {session.get_inputs()[0].name: x})[0]
    found = np.fromfile(path + ".logits", np.float32).reshape(N, CLASSES)
    return f"{np.abs(expected - found).max() / np.abs(expected).max():.2g}"


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    for model in sys.argv[5:]:
        file = os.path.join(FOLDER, "model.onnx")
        try:
            export(build(*model.split(":")), file)
        except Exception as error:  # whatever an exporter cannot do
            print(f"{model}: not exported: {str(error).splitlines()[0]:.100}", flush=True)
            continue
        print(f"{model}: {compare(file)}", flush=True)
