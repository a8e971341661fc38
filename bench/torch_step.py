#!/usr/bin/env python3
"""Milliseconds of the step of bench_step in PyTorch on a CPU: the peer that compare_pytorch.py measures against.

Teacher forward (eval, no gradient), student forward, cross-entropy + KD under a learnable global temperature behind
a gradient reversal, backward, SGD with momentum and weight decay, on a fixed batch. One JSON line on stdout.

  torch_step.py --pair rn56-rn20 --batch 64 --mode eager|channels_last|compile|compile_channels_last --steps 20
"""
import argparse
import json
import resource
import statistics
import time

START = time.perf_counter()
import torch  # noqa: E402  (the import is part of the time to the first step)
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402


def conv(cin, cout, kernel, stride=1, bias=False, groups=1):
    return nn.Conv2d(cin, cout, kernel, stride, kernel // 2, bias=bias, groups=groups)


def normed(cin, cout, kernel, stride=1, groups=1, relu=True):
    layers = [conv(cin, cout, kernel, stride, groups=groups), nn.BatchNorm2d(cout)]
    return layers + [nn.ReLU(inplace=True)] if relu else layers


class Basic(nn.Module):
    """Post-activation residual block (CIFAR ResNet)."""

    def __init__(self, cin, cout, stride):
        super().__init__()
        self.first = nn.Sequential(conv(cin, cout, 3, stride), nn.BatchNorm2d(cout), nn.ReLU(inplace=True))
        self.second = nn.Sequential(conv(cout, cout, 3), nn.BatchNorm2d(cout))
        same = stride == 1 and cin == cout
        self.shortcut = nn.Identity() if same else nn.Sequential(conv(cin, cout, 1, stride), nn.BatchNorm2d(cout))

    def forward(self, x):
        return F.relu(self.second(self.first(x)) + self.shortcut(x), inplace=True)


class PreActivation(nn.Module):
    """Pre-activation residual block (WRN)."""

    def __init__(self, cin, cout, stride):
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(cin), nn.BatchNorm2d(cout)
        self.conv1, self.conv2 = conv(cin, cout, 3, stride), conv(cout, cout, 3)
        self.shortcut = None if cin == cout else conv(cin, cout, 1, stride)

    def forward(self, x):
        a = F.relu(self.norm1(x))
        y = self.conv2(F.relu(self.norm2(self.conv1(a)), inplace=True))
        return y + (x if self.shortcut is None else self.shortcut(a))


def residual_net(block, depth, widths, classes, stem=16):
    activated, cin = block is Basic, stem
    layers = [conv(3, cin, 3)] + ([nn.BatchNorm2d(cin), nn.ReLU(inplace=True)] if activated else [])
    for stage, width in enumerate(widths):
        for i in range(depth):
            layers.append(block(cin, width, 2 if stage and i == 0 else 1))
            cin = width
    layers += [] if activated else [nn.BatchNorm2d(cin), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.AvgPool2d(8), nn.Flatten(), nn.Linear(cin, classes))


def resnet(depth, classes):
    return residual_net(Basic, (depth - 2) // 6, (16, 32, 64), classes)


def wrn(depth, widen, classes):
    return residual_net(PreActivation, (depth - 4) // 6, (16 * widen, 32 * widen, 64 * widen), classes)


def vgg(per_block, classes):
    layers, cin = [], 3
    for block, width in enumerate((64, 128, 256, 512, 512)):
        for _ in range(per_block):
            layers += [conv(cin, width, 3, bias=True), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            cin = width
        layers += [nn.MaxPool2d(2)] if block < 3 else []
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(cin, classes))


class Bottleneck(nn.Module):
    def __init__(self, cin, planes, stride):
        super().__init__()
        cout = 4 * planes
        self.main = nn.Sequential(*normed(cin, planes, 1), *normed(planes, planes, 3, stride),
                                  *normed(planes, cout, 1, relu=False))
        same = stride == 1 and cin == cout
        self.shortcut = nn.Identity() if same else nn.Sequential(*normed(cin, cout, 1, stride, relu=False))

    def forward(self, x):
        return F.relu(self.main(x) + self.shortcut(x), inplace=True)


def resnet50(classes):
    layers, cin = normed(3, 64, 3), 64
    for stage, (count, planes) in enumerate(zip((3, 4, 6, 3), (64, 128, 256, 512))):
        for i in range(count):
            layers.append(Bottleneck(cin, planes, 2 if stage and i == 0 else 1))
            cin = 4 * planes
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(cin, classes))


class Inverted(nn.Module):
    def __init__(self, cin, cout, expansion, stride):
        super().__init__()
        middle = expansion * cin
        self.main = nn.Sequential(*normed(cin, middle, 1), *normed(middle, middle, 3, stride, middle),
                                  *normed(middle, cout, 1, relu=False))
        self.same = stride == 1 and cin == cout

    def forward(self, x):
        return self.main(x) + x if self.same else self.main(x)


def mobilenet_v2(classes):
    layers, cin = normed(3, 16, 3, 2), 16
    rows = ((1, 8, 1, 1), (6, 12, 2, 1), (6, 16, 3, 2), (6, 32, 4, 2), (6, 48, 3, 1), (6, 80, 3, 2), (6, 160, 1, 1))
    for expansion, cout, count, stride in rows:
        for i in range(count):
            layers.append(Inverted(cin, cout, expansion, 1 if i else stride))
            cin = cout
    return nn.Sequential(*layers, *normed(cin, 1280, 1), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(1280, classes))


def shuffled(x, groups):
    n, c, h, w = x.shape
    return x.view(n, groups, c // groups, h, w).transpose(1, 2).reshape(n, c, h, w)


class UnitV1(nn.Module):
    def __init__(self, cin, cout, stride):
        super().__init__()
        self.join, self.groups = stride == 2, 1 if cin == 24 else 3
        made = cout - cin if self.join else cout
        middle = made // 4
        self.first = nn.Sequential(*normed(cin, middle, 1, groups=self.groups))
        self.rest = nn.Sequential(*normed(middle, middle, 3, stride, middle), *normed(middle, made, 1, groups=3, relu=False))

    def forward(self, x):
        y = self.rest(shuffled(self.first(x), self.groups))
        return F.relu(torch.cat([y, F.avg_pool2d(x, 3, 2, 1)], 1) if self.join else y + x, inplace=True)


class UnitV2(nn.Module):
    def __init__(self, cin, cout, stride):
        super().__init__()
        half, self.down = cout // 2, stride == 2
        if self.down:
            self.left = nn.Sequential(*normed(cin, cin, 3, 2, cin, relu=False), *normed(cin, half, 1))
        self.right = nn.Sequential(*normed(cin if self.down else half, half, 1),
                                   *normed(half, half, 3, stride, half, relu=False), *normed(half, half, 1))

    def forward(self, x):
        left, right = (self.left(x), x) if self.down else x.chunk(2, 1)
        return shuffled(torch.cat([left, self.right(right)], 1), 2)


def shuffle_net(unit, widths, head, classes):
    layers, cin = normed(3, 24, 1), 24
    for width, count in zip(widths, (4, 8, 4)):
        for i in range(count):
            layers.append(unit(cin, width, 1 if i else 2))
            cin = width
    layers += normed(cin, head, 1) if head else []
    return nn.Sequential(*layers, nn.AvgPool2d(4), nn.Flatten(), nn.Linear(head or cin, classes))


def shuffle_v1(classes):
    return shuffle_net(UnitV1, (240, 480, 960), None, classes)


def shuffle_v2(classes):
    return shuffle_net(UnitV2, (116, 232, 464), 1024, classes)


def resnet32x4(classes):
    return residual_net(Basic, 5, (64, 128, 256), classes, stem=32)


class BasicPhotographs(nn.Module):
    def __init__(self, cin, cout, stride):
        super().__init__()
        self.main = nn.Sequential(*normed(cin, cout, 3, stride), *normed(cout, cout, 3, relu=False))
        same = stride == 1 and cin == cout
        self.shortcut = nn.Identity() if same else nn.Sequential(*normed(cin, cout, 1, stride, relu=False))

    def forward(self, x):
        return F.relu(self.main(x) + self.shortcut(x), inplace=True)


def resnet_photographs(block, counts, expansion, classes):
    """torchvision's, on 224x224."""
    layers, cin = normed(3, 64, 7, 2) + [nn.MaxPool2d(3, 2, 1)], 64
    for stage, (count, planes) in enumerate(zip(counts, (64, 128, 256, 512))):
        for i in range(count):
            layers.append(block(cin, planes, 2 if stage and i == 0 else 1))
            cin = expansion * planes
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(cin, classes))


def mobilenet_v1(classes):
    """mdistiller's, on 224x224."""
    layers, cin = normed(3, 32, 3, 2), 32
    for cout, stride in ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1)):
        layers += normed(cin, cin, 3, stride, cin) + normed(cin, cout, 1)
        cin = cout
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(cin, classes))


PAIRS = {
    "rn56-rn20": (lambda k: resnet(56, k), lambda k: resnet(20, k)),
    "rn110-rn32": (lambda k: resnet(110, k), lambda k: resnet(32, k)),
    "rn110-rn20": (lambda k: resnet(110, k), lambda k: resnet(20, k)),
    "wrn40-2-wrn16-2": (lambda k: wrn(40, 2, k), lambda k: wrn(16, 2, k)),
    "wrn40-2-wrn40-1": (lambda k: wrn(40, 2, k), lambda k: wrn(40, 1, k)),
    "vgg13-vgg8": (lambda k: vgg(2, k), lambda k: vgg(1, k)),
    "vgg13-MobileNetV2": (lambda k: vgg(2, k), mobilenet_v2),
    "ResNet50-MobileNetV2": (resnet50, mobilenet_v2),
    "rn32x4-ShuffleV1": (resnet32x4, shuffle_v1),
    "rn32x4-ShuffleV2": (resnet32x4, shuffle_v2),
    "wrn40-2-ShuffleV1": (lambda k: wrn(40, 2, k), shuffle_v1),
    "rn34-rn18": (lambda k: resnet_photographs(BasicPhotographs, (3, 4, 6, 3), 1, k),
                  lambda k: resnet_photographs(BasicPhotographs, (2, 2, 2, 2), 1, k)),
    "rn50-mv1": (lambda k: resnet_photographs(Bottleneck, (3, 4, 6, 3), 4, k), mobilenet_v1),
}
PHOTOGRAPHS = ("rn34-rn18", "rn50-mv1")  # 224x224 and 1000 classes, the others 32x32 and 100
MODES = ("eager", "channels_last", "compile", "compile_channels_last")


class Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx, theta, strength):
        ctx.strength = strength
        return theta.clone()

    @staticmethod
    def backward(ctx, gradient):
        return -ctx.strength * gradient, None


def make_step(args):
    side, classes = (224, 1000) if args.pair in PHOTOGRAPHS else (32, 100)
    teacher, student = (make(classes) for make in PAIRS[args.pair])
    teacher, student = teacher.eval(), student.train()
    x = torch.randn(args.batch, 3, side, side)
    y = torch.randint(0, classes, (args.batch,))
    if args.mode.endswith("channels_last"):
        layout = torch.channels_last
        teacher, student, x = teacher.to(memory_format=layout), student.to(memory_format=layout), x.to(memory_format=layout)
    theta = nn.Parameter(torch.ones(1))
    sgd = torch.optim.SGD([*student.parameters(), theta], lr=0.05, momentum=0.9, weight_decay=5e-4)
    if args.mode.startswith("compile"):
        teacher, student = torch.compile(teacher), torch.compile(student)

    def step():
        with torch.no_grad():
            t = teacher(x)
        s = student(x)
        tau = 1 + 20 * torch.sigmoid(Reverse.apply(theta, 0.5))
        kd = F.kl_div(F.log_softmax(s / tau, 1), F.softmax(t / tau, 1), reduction="batchmean") * tau**2
        loss = 0.1 * F.cross_entropy(s, y) + 0.9 * kd.sum()
        sgd.zero_grad()
        loss.backward()
        sgd.step()
        return loss.item()

    return step


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pair", choices=PAIRS, default="rn56-rn20")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--mode", choices=MODES, default="eager")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--warmup", type=int, default=3)
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    step = make_step(args)
    step()
    first = time.perf_counter() - START
    for _ in range(args.warmup):
        step()
    ms = []
    for _ in range(args.steps):
        begin = time.perf_counter()
        step()
        ms.append(1e3 * (time.perf_counter() - begin))
    print(json.dumps({
        "pair": args.pair, "batch": args.batch, "mode": args.mode, "threads": args.threads,
        "torch": torch.__version__, "ms_median": round(statistics.median(ms), 2), "ms_min": round(min(ms), 2),
        "first_step_s": round(first, 3), "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }))


if __name__ == "__main__":
    main()
