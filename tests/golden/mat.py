#!/usr/bin/env python3
"""Writes mat/*.mat: arrays of structures as in meta.mat of ImageNet's development kit, compressed and not, as SciPy writes them.

usage: mat.py      needs SciPy and NumPy; test_label_lists.c knows the numbers and names
"""
import os

import numpy as np
from scipy.io import savemat

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "mat")
# ImageNet's numbers do not ascend with the names, and the last ones are of inner nodes.
SYNSETS = [(1, "n02119789", 0), (2, "n02100735", 0), (3, "n01440764", 0), (300, "n02110185", 0), (1001, "n00001740", 3)]
FIELDS = ["ILSVRC2012_ID", "WNID", "words", "gloss", "num_children", "children", "wordnet_height", "num_train_images"]


def synsets():
    array = np.zeros((len(SYNSETS), 1), dtype=[(name, object) for name in FIELDS])
    for i, (number, wnid, children) in enumerate(SYNSETS):
        array[i, 0] = (float(number), wnid, "kit fox, Vulpes macrotis", "small grey fox", float(children),
                       np.arange(1.0, children + 1).reshape(1, -1), 0.0, 1300.0)
    return array


os.makedirs(FOLDER, exist_ok=True)
for name, compressed in ("meta", True), ("plain", False):
    path = os.path.join(FOLDER, name + ".mat")
    savemat(path, {"about": np.arange(4), "synsets": synsets()}, do_compression=compressed)
    with open(path, "r+b") as file:  # the header has the time of writing
        file.write(b"MATLAB 5.0 MAT-file, written by SciPy for tests".ljust(116))
