#!/usr/bin/env python3
"""torchvision's networks with drawn weights, here and in PyTorch; run by hand, where torchvision is complete.

usage: torchvision_networks.py CTKD FOLDER SIDE [NAME...]

Weights and the statistics of batch norms are drawn, saved as .pth and evaluated by `ctkd eval --dump` on PNG images of
SIDE x SIDE, which nothing resizes. One line per network: the largest difference of a logit over the largest logit; above
1e-5 the exit status is 1.
"""
import os
import subprocess
import sys

import numpy as np
import torch
import torchvision
from PIL import Image

NAMES = ("resnet18 resnet34 resnet50 resnet101 resnet152 wide_resnet50_2 resnext50_32x4d vgg11_bn vgg13_bn mobilenet_v2 "
         "shufflenet_v2_x0_5 shufflenet_v2_x1_0 shufflenet_v2_x2_0").split()
CTKD, FOLDER, SIDE = sys.argv[1], sys.argv[2], int(sys.argv[3])
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLASSES = ("a", "b", "c")


def images():
    """One image of each class in both parts; the test images as floats, in the order of the classes."""
    generator, rows = np.random.default_rng(1), []
    for part in ("train", "val"):
        for name in CLASSES:
            folder = os.path.join(FOLDER, "images", part, name)
            os.makedirs(folder, exist_ok=True)
            pixels = generator.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(os.path.join(folder, "0.png"))
            rows.append(torch.from_numpy(pixels).permute(2, 0, 1).double() / 255)
    x = torch.stack(rows[len(CLASSES):])
    return (x - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


def draw(name):
    torch.manual_seed(1)
    network = getattr(torchvision.models, name)(num_classes=len(CLASSES)).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, 0, 0.125)
            torch.nn.init.uniform_(module.running_var, 0.75, 1.25)
            torch.nn.init.normal_(module.weight, 1, 0.125)
            torch.nn.init.normal_(module.bias, 0, 0.125)
    return network


def difference(name, x):
    weights, dump = os.path.join(FOLDER, "weights.pth"), os.path.join(FOLDER, "dump")
    network = draw(name)
    torch.save(network.state_dict(), weights)
    subprocess.run([CTKD, "eval", weights, f"student.network={name}", f"data.set=imagefolder:{FOLDER}/images",
                    f"data.size={SIDE}", f"data.resize={SIDE}", "teacher.mean=" + ",".join(map(str, MEAN)),
                    "teacher.std=" + ",".join(map(str, STD)), "train.threads=1", "--dump", dump],
                   check=True, capture_output=True)
    ours = np.load(os.path.join(dump, "logits.npy"))
    with torch.inference_mode():
        theirs = network.double()(x).numpy()
    return np.abs(ours - theirs).max() / np.abs(theirs).max()


def main():
    x, status = images(), 0
    for name in sys.argv[4:] or NAMES:
        worst = difference(name, x)
        status |= not worst <= 1e-5
        print(f"{name:20} {worst:.1e}", flush=True)
    sys.exit(status)


main()
