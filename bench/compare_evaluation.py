#!/usr/bin/env python3
"""Evaluation of resnet18 on JPEGs: the command against a loop of PyTorch, in alternation.

  compare_evaluation.py BUILD FOLDER [--images 1000] [--rounds 5] [--batch 64] [--threads 2] [--workers 2]

FOLDER holds JPEGs, which are linked into ten classes until there are enough. The loop: a DataLoader with --workers
processes, Pillow, torchvision's Resize(256), CenterCrop(224), ToTensor and Normalize, the network in channels_last and
inference mode. Of the command the time is that of the process, start and reading of the weights included; of the loop
that of an evaluation alone, without the start of Python. Weights are random, and the same; the two top-1 that are printed should be equal.
"""
import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time

import torch
import torchvision
from torchvision import datasets, transforms

from compare_images import link_images

CLASSES = 10


def theirs(args, folder, network):
    normalise = transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    view = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(), normalise])
    begin = time.perf_counter()
    loader = torch.utils.data.DataLoader(datasets.ImageFolder(os.path.join(folder, "val"), view),
                                         batch_size=args.batch, num_workers=args.workers)
    correct = 0
    with torch.inference_mode():
        for images, labels in loader:
            logits = network(images.contiguous(memory_format=torch.channels_last))
            correct += int((logits.argmax(1) == labels).sum())
    return time.perf_counter() - begin, 100 * correct / args.images


def ours(args, folder, weights):
    command = [os.path.join(args.build, "ctkd"), "eval", weights, f"data.set=imagefolder:{folder}",
               "student.network=resnet18", "teacher.mean=0.485,0.456,0.406", "teacher.std=0.229,0.224,0.225",
               f"train.threads={args.threads}", "--json"]
    begin = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    seconds = time.perf_counter() - begin
    if done.returncode:
        raise SystemExit(done.stderr)
    return seconds, json.loads(done.stdout)["top1"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build")
    parser.add_argument("folder")
    for option, value in (("images", 1000), ("rounds", 5), ("batch", 64), ("threads", 2), ("workers", 2)):
        parser.add_argument(f"--{option}", type=int, default=value)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    network = torchvision.models.resnet18(num_classes=CLASSES).eval().to(memory_format=torch.channels_last)
    with tempfile.TemporaryDirectory() as folder:
        link_images(args.folder, folder, args.images, CLASSES)
        weights = os.path.join(folder, "resnet18.pth")
        torch.save(network.state_dict(), weights)
        rounds = [(ours(args, folder, weights), theirs(args, folder, network)) for _ in range(args.rounds)]
    ratios = [b[0] / a[0] for a, b in rounds]
    for name, k in (("ctkd eval", 0), ("PyTorch", 1)):
        print(f"{name:<10} {statistics.median(r[k][0] for r in rounds):6.2f} s  top-1 {rounds[0][k][1]:.2f} %")
    print(f"ratio {statistics.median(ratios):.2f} [{min(ratios):.2f}-{max(ratios):.2f}]")


main()
