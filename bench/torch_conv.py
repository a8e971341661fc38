#!/usr/bin/env python3
"""Convolutions of bench_conv in PyTorch: its GFLOP/s and ours as a multiple of them, layer by layer, one thread.

  bench_conv --images 32 | torch_conv.py [--images 32] [--seconds 0.1]

PyTorch is given plain and channels_last tensors, the faster counts; ours is the fastest implementation of a direction.
Both are the fastest of many runs, so that a loaded machine disturbs little.
"""
import argparse
import re
import sys
import time

import torch

LINE = re.compile(r"(\d+)x(\d+)x(\d+) to (\d+), kernel (\d+), stride (\d+), groups (\d+)\s+(\w+)\s+(\S+)\s+(\S+)\s+(\S+)")


def fastest(function, seconds):
    end, best = time.perf_counter() + seconds, float("inf")
    while time.perf_counter() < end or best == float("inf"):
        begin = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - begin)
    return best


def peer(c, h, w, o, kernel, stride, groups, args):
    """GFLOP/s of forward, backward data, backward weights."""
    best = [float("inf")] * 3
    for layout in (torch.contiguous_format, torch.channels_last):
        x = torch.randn(args.images, c, h, w).to(memory_format=layout)
        weight = torch.randn(o, c // groups, kernel, kernel).to(memory_format=layout)
        window = ([stride] * 2, [kernel // 2] * 2, [1, 1])
        y = torch.nn.functional.conv2d(x, weight, None, *window, groups)

        def backward(mask):
            return torch.ops.aten.convolution_backward(y, x, weight, None, *window, False, [0, 0], groups, mask)

        for i, run in enumerate((lambda: torch.nn.functional.conv2d(x, weight, None, *window, groups),
                                 lambda: backward([True, False, False]), lambda: backward([False, True, False]))):
            best[i] = min(best[i], fastest(run, args.seconds))
    flops = 2e-9 * y.numel() * (c // groups) * kernel * kernel
    return [flops / seconds for seconds in best]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=0.1)
    args = parser.parse_args()
    torch.set_num_threads(1)
    ours = {}
    for line in sys.stdin:
        match = LINE.match(line)
        if match:
            speeds = ours.setdefault(tuple(map(int, match.groups()[:7])), [0.0] * 3)
            for i in range(3):
                speeds[i] = max(speeds[i], float(match.group(9 + i)))
    print(f"{'layer':46} {'PyTorch: forward, data, weights':>32} {'ours, as a multiple':>20}")
    for layer, speeds in ours.items():
        name = "{}x{}x{} to {}, kernel {}, stride {}, groups {}".format(*layer)
        theirs = peer(*layer, args)
        times = [f"{mine / its:.2f}" for mine, its in zip(speeds, theirs)]
        print(f"{name:46} " + " ".join(f"{its:10.1f}" for its in theirs) + "  " + " ".join(f"{t:>6}" for t in times), flush=True)


with torch.no_grad():
    main()
