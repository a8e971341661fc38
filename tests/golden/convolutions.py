"""Golden values of convolutions, dense, grouped and depthwise: PyTorch in double. Writes convolutions.txt beside itself.

PyTorch 2.13.0. Of each case: y = relu(conv(x) + bias + residual); with g as the gradient of conv(x): dx + base, and dw.
Inputs are not stored: value i of an array is sin(0.7 i + phase), rounded to float (tests/test_conv.c makes the same).
"""
import pathlib

import torch
from torch.nn import functional as F

# name, images, channels in and out, groups, kernel, stride, padding, height, width
CASES = (
    ("depthwise", 2, 20, 20, 20, 3, 1, 1, 5, 6),
    ("depthwise_strided", 2, 18, 18, 18, 3, 2, 1, 7, 6),
    ("depthwise_5x5", 1, 17, 17, 17, 5, 2, 2, 7, 8),
    ("multiplier", 1, 6, 12, 6, 3, 1, 1, 5, 5),
    ("aligned", 1, 32, 32, 2, 3, 1, 1, 4, 5),
    ("unaligned", 1, 18, 27, 3, 3, 2, 1, 5, 5),
    ("unaligned_1x1", 2, 54, 30, 3, 1, 1, 0, 3, 3),
    ("dense_1x1", 2, 20, 36, 1, 1, 1, 0, 3, 5),
    ("merged", 1, 32, 32, 8, 3, 1, 1, 4, 4),
    ("aligned_wide", 7, 32, 48, 2, 3, 1, 1, 6, 5),
    ("dense", 2, 20, 36, 1, 3, 1, 1, 5, 6),
    ("dense_strided", 2, 20, 18, 1, 3, 2, 1, 7, 6),
    ("dense_1x1_strided", 2, 18, 20, 1, 1, 2, 0, 7, 5),
    ("dense_5x5_stride_3", 1, 17, 9, 1, 5, 3, 2, 8, 7),
    ("dense_2x2_stride_2", 2, 10, 12, 1, 2, 2, 0, 6, 5),
    ("dense_4x4_stride_2", 1, 34, 33, 1, 4, 2, 1, 6, 6),
    ("grey", 3, 1, 20, 1, 3, 1, 1, 6, 5),
    ("colour", 2, 3, 18, 1, 3, 1, 1, 5, 6),
    ("grey_7x7", 2, 1, 17, 1, 7, 2, 3, 9, 10),
    ("many_channels", 2, 13, 17, 1, 3, 2, 1, 6, 7),
    ("plain_groups", 1, 6, 12, 2, 3, 1, 1, 5, 4),
)


def wave(shape, phase):
    index = torch.arange(torch.Size(shape).numel(), dtype=torch.float64)
    return torch.sin(0.7 * index + phase).float().double().reshape(shape)


def main():
    with open(pathlib.Path(__file__).with_suffix(".txt"), "w", encoding="ascii") as out:
        for name, n, c, o, groups, kernel, stride, padding, h, w in CASES:
            x = wave((n, c, h, w), 0.1).requires_grad_()
            weight = wave((o, c // groups, kernel, kernel), 0.2).requires_grad_()
            y = F.conv2d(x, weight, None, stride, padding, 1, groups)
            y.backward(wave(y.shape, 0.3))
            full = F.relu(y + wave((o,), 0.4)[:, None, None] + wave(y.shape, 0.5))
            dx = x.grad + wave(x.shape, 0.6)
            for key, value in (("y", full), ("dx", dx), ("dw", weight.grad)):
                numbers = " ".join(f"{v:.7g}" for v in value.detach().reshape(-1).tolist())
                out.write(f"{name}.{key} {value.numel()} {numbers}\n")


main()
