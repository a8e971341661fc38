#!/usr/bin/env python3
"""Random PyTorch checkpoints: what ctkd convert makes of each, against the state dict that went in.

usage: random_checkpoints.py CTKD FOLDER FIRST COUNT

A checkpoint with the number FIRST, FIRST + 1, ... is always the same: a small network's state dict with drawn types, strides,
shared storages, prefixes, in drawn dicts among the things that people save beside it, in either form of file. What PyTorch
would load into the network has to come out, bit for bit.
"""
import argparse
import collections
import datetime
import functools
import os
import pathlib
import subprocess
import sys
import types

import numpy as np
import torch
from safetensors.torch import load_file

import networks

CTKD, FOLDER, FIRST, COUNT = *sys.argv[1:3], *map(int, sys.argv[3:5])


class Meter:
    """As the published code keeps one; what reads the file does not know it."""

    def __init__(self, value):
        self.value, self.history, self.best = value, [value, value / 2], None


class Draws:
    def __init__(self, number):
        self.draw = np.random.default_rng(number)

    def pick(self, *options):
        return options[self.draw.integers(len(options))]

    def chance(self, share):
        return self.draw.random() < share

    # --- tensors

    def laid(self, value, shared):
        """The same values with other strides, or as part of a larger storage."""
        style = self.draw.random()
        if style < 0.2 and value.dim() > 1:
            order = [int(i) for i in self.draw.permutation(value.dim())]
            return value.permute(order).contiguous().permute(*[order.index(i) for i in range(value.dim())])
        if style < 0.3:
            wide = torch.full((*value.shape, 2), 7, dtype=value.dtype)
            wide[..., 1] = value
            return wide[..., 1]
        if style < 0.5 and value.dtype == torch.float32 and value.numel() <= shared.numel() - self.used:
            part = shared[self.used:self.used + value.numel()].view(value.shape)
            part.copy_(value)
            self.used += value.numel()
            return part
        if style < 0.6:
            return torch.nn.Parameter(value, requires_grad=value.is_floating_point() and self.chance(0.5))
        return value

    def typed(self, value):
        if value.is_floating_point():
            return value.to(self.pick(*[torch.float32] * 5, torch.float16, torch.bfloat16, torch.float64))
        return value.to(self.pick(torch.int64, torch.int64, torch.int32))

    # --- what lies beside them

    def beside(self, net):
        number = float(self.draw.uniform(0, 100))
        optimiser = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9)
        for p in net.parameters():
            p.grad = torch.ones_like(p)
        optimiser.step()
        return {
            "epoch": int(self.draw.integers(1000)), "best_acc": self.pick(number, np.float64(number), torch.tensor(number)),
            "optimizer": optimiser.state_dict(), "scheduler": torch.optim.lr_scheduler.MultiStepLR(optimiser, [3, 5]).state_dict(),
            "opt": argparse.Namespace(lr=0.05, milestones=[150, 180], name="x", device=torch.device("cpu")),
            "args": vars(argparse.Namespace(lr=0.05, path=pathlib.PurePosixPath("save/models"))),
            "history": [number, (1, 2.5), {"loss": None}], "meter": Meter(number), "rng": torch.get_rng_state(),
            "numpy": np.arange(6, dtype=np.float32).reshape(2, 3), "scalar": np.int64(3), "type": torch.float16,
            "size": torch.Size([1, 2]), "set": {1, 2, "three"}, "frozen": frozenset([1]), "bytes": b"\x00\xff" * 40,
            "time": datetime.datetime(2020, 1, 2, 3, 4, 5), "big": 2 ** 80 - 1, "negative": -2 ** 40, "complex": 1 - 2j,
            "flag": True, "text": "é\n" * self.pick(1, 200), "default": collections.defaultdict(list, a=[1]),
            "partial": functools.partial(int, base=2), "namespace": types.SimpleNamespace(a=1), 7: "a number as a name",
            "none": None, "counter": collections.Counter("abca"), "deque": collections.deque([1, 2], 5)}

    def checkpoint(self):
        torch.manual_seed(int(self.draw.integers(2 ** 31)))
        net = networks.build(self.pick("resnet8", "resnet8", "resnet8x4"), 3, 10)
        self.used, shared = 0, torch.zeros(4000)
        state, expected = collections.OrderedDict(), {}
        old = self.chance(0.2)
        one = self.typed(torch.zeros(1)).dtype if self.chance(0.3) else None  # all of one type
        for key, value in net.state_dict().items():
            if key.endswith("num_batches_tracked"):
                if old:
                    continue
                value = value + int(self.draw.integers(1000))
                value = self.typed(value)
            else:
                value = torch.from_numpy(self.draw.normal(size=tuple(value.shape)).astype(np.float32))
                if key.endswith("running_var"):  # a negative one is refused
                    value = value.abs()
                value = value.to(one) if one else self.typed(value)
            expected[key] = value.to(torch.int64 if key.endswith("num_batches_tracked") else torch.float32).clone()
            state[key] = self.laid(value, shared)
        prefix = self.pick("", "", "", "module.", "model.", "module.model.", "_orig_mod.module.", "backbone.")
        state = {prefix + key: value for key, value in state.items()}
        if self.chance(0.2):
            keys = list(state)
            state = {keys[i]: state[keys[i]] for i in self.draw.permutation(len(keys))}
        if self.chance(0.5):
            state = collections.OrderedDict(state)
            if self.chance(0.5):
                state._metadata = collections.OrderedDict(a={"version": 1})
        file = state
        for _ in range(self.pick(0, 1, 1, 1, 2)):
            inside = {key: value for key, value in self.beside(net).items() if self.chance(0.3)}
            inside[self.pick("model", "state_dict", "state", "net", "student", "network", "weights")] = file
            keys = list(inside)
            file = {keys[i]: inside[keys[i]] for i in self.draw.permutation(len(keys))}
        return file, expected

    def save(self, file, path):
        options = {"_use_new_zipfile_serialization": self.chance(0.7), "pickle_protocol": self.pick(2, 2, 2, 3, 4, 5)}
        torch.save(file, path, **options)
        return options


def check(number):
    source, target = (os.path.join(FOLDER, f"{number}.{ending}") for ending in ("pth", "safetensors"))
    draws = Draws(number)
    file, expected = draws.checkpoint()
    options = draws.save(file, source)
    done = subprocess.run([CTKD, "convert", source, target], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"FAILED: {source} ({options}): status {done.returncode}: {done.stderr}")
    found = load_file(target)
    for key in expected.keys() | found.keys():
        if key.endswith("num_batches_tracked") and key not in expected:
            continue
        if key not in expected or key not in found or not torch.equal(expected[key], found[key]):
            sys.exit(f"FAILED: {source} ({options}): {key} differs: {expected.get(key)} went in, {found.get(key)} came out")
    os.remove(source), os.remove(target)


if __name__ == "__main__":
    for i in range(FIRST, FIRST + COUNT):
        check(i)
    print(f"{COUNT} random checkpoints: all tensors of all of them as they were")
