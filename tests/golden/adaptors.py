#!/usr/bin/env python3
"""Golden values of whole steps of the methods that read features: the loss through the student, its
adaptors and a teacher, and the gradient of every parameter of student and adaptors. PyTorch autograd in
float64, from the definitions. Writes adaptors_PAIR.txt beside itself (made with PyTorch 2.13).

Nothing is shipped: every parameter and pixel is a draw of the library's counter-based generator, whose
stream is a hash of the parameter's name (`stream` below; tests/test_adaptor_golden.c has the same), with
the scales of networks.py. The student is in training mode, the teacher in evaluation mode but for OFD's.

"seed"; then for each run, METHOD or METHOD.initial for the stage before the main one: "RUN.loss", and for
each parameter "RUN.NAME": norm of the gradient, and its product with a random direction. A parameter that
a loss does not reach has 0 for both.

As in networks.py, a ReLU (here also a sign, a mask or a choice of vectors) within rounding of its bend may
go either way in float32. Each pair takes the first seed at which noise of 3e-6 on the pixels moves no gradient of
any method by more than 1e-4 of its norm (and a thousandth of the largest), or the best of TRIALS; a file that is
there keeps its seed."""
import copy
import functools
import math
import pathlib
import sys

import torch
import torch.nn.functional as F

from networks import MobileNetV2, build, draw, kept_seed, normal, uniform
from relations import N, at, cc, fsp, kdsvd, nst, pkt, rkd, sp

SIDE, CLASSES, TRIALS = 20, 10, 40
SAMPLES, IDS = 60, [3, 14, 15, 9, 26]  # of the data set; sample i has label i % CLASSES
STUDENT, TEACHER, DIRECTION, PIXELS, BANK, NOISE = range(6)


def stream(kind, name):
    """FNV-1a of the name, and in the high word what is drawn."""
    value = 2166136261
    for byte in name.encode():
        value = (value ^ byte) * 16777619 & 0xFFFFFFFF
    return kind << 32 | value


# --- what a method is given

class Adaptors:
    """Layers of one method, drawn by their names."""

    def __init__(self, seed, method):
        self.seed, self.prefix, self.values = seed, f"adaptors.{method}.", {}

    def value(self, name, *shape):
        name = self.prefix + name
        assert name not in self.values
        self.values[name] = draw(self.seed, stream(STUDENT, name), name, shape).requires_grad_()
        return self.values[name]

    def conv(self, x, name, out, kernel=1, stride=1, padding=0, bias=True):
        weight = self.value(name + ".weight", out, x.shape[1], kernel, kernel)
        return F.conv2d(x, weight, self.value(name + ".bias", out) if bias else None, stride, padding)

    def transposed(self, x, name, out, kernel, stride, padding):
        weight = self.value(name + ".weight", x.shape[1], out, kernel, kernel)
        return F.conv_transpose2d(x, weight, self.value(name + ".bias", out), stride, padding)

    def norm(self, x, name):
        weight, bias = (self.value(f"{name}.{part}", x.shape[1]) for part in ("weight", "bias"))
        return F.batch_norm(x, None, None, weight, bias, training=True)

    def regressor(self, x, t, name):
        """Rep's ConvReg without its ReLU, and the teacher's map, which is pooled where no form fits."""
        have, want, out = x.shape[2], t.shape[2], t.shape[1]
        if have == 2 * want:
            x = self.conv(x, name + ".conv", out, 3, 2, 1)
        elif 2 * have == want:
            x = self.transposed(x, name + ".conv", out, 4, 2, 1)
        elif have >= want:
            x = self.conv(x, name + ".conv", out, 1 + have - want)
        else:
            x, t = self.conv(x, name + ".conv", out, 3, 1, 1), F.adaptive_avg_pool2d(t, have)
        return self.norm(x, name + ".norm"), t


class Side:
    """Features of a network: maps, their forms before the ReLU, and the pooled vector last."""

    def __init__(self, net, x):
        self.net = net
        self.logits, taps = net.run(x)
        count = sum(name.startswith("f") for name in taps)
        self.maps = [taps[f"f{i}"] for i in range(count)]
        self.maps[-1] = self.maps[-1][:, :, None, None]
        self.pre = [taps.get(f"pre{i}") for i in range(count)]


def pooled_alike(x, y):
    side = min(x.shape[2], y.shape[2])
    return F.adaptive_avg_pool2d(x, side), F.adaptive_avg_pool2d(y, side)


def pairs(s, t, first=1):
    """Indices of the maps that both have, without the pooled vector."""
    return range(first, min(len(s.maps), len(t.maps)) - 1)


# --- methods: (adaptors, student, teacher) -> loss

def of_vectors(loss):
    return lambda a, s, t: loss(s.maps[-1].flatten(1), t.maps[-1].flatten(1))


def of_last_maps(loss):
    return lambda a, s, t: loss(s.maps[-2], t.maps[-2])


def of_map_pairs(loss):
    return lambda a, s, t: loss(*(m for i in pairs(s, t) for m in pooled_alike(s.maps[i], t.maps[i])))


def fsp_of_flows(a, s, t):
    maps = []
    for i in list(pairs(s, t, 0))[:-1]:
        maps += [*pooled_alike(*s.maps[i:i + 2]), *pooled_alike(*t.maps[i:i + 2])]
    return fsp(*maps)


def cc_of_embeddings(a, s, t):
    return cc(a.conv(s.maps[-1], "embed_s", 128), a.conv(t.maps[-1], "embed_t", 128))


def vid(a, s, t):
    loss = 0
    for i in pairs(s, t):
        x, y = pooled_alike(s.maps[i], t.maps[i])
        c = y.shape[1]
        for j in (0, 2, 4):
            x = a.conv(x, f"regressor.{i}.{j}", c, bias=False)
            x = F.relu(x) if j < 4 else x
        v = (F.softplus(a.value(f"log_scale.{i}", c)) + 1e-5).view(1, c, 1, 1)
        loss = loss + (((x - y) ** 2 / v + torch.log(v)) / 2).mean()
    return loss


def crd(a, s, t):
    """All samples of other classes are negatives, so that none is drawn; Z is that of this batch."""
    banks = [torch.from_numpy(normal(a.seed, stream(BANK, f"M{i + 1}"), SAMPLES * 128)).double().view(SAMPLES, 128) / 8
             for i in range(2)]
    rows = [[i] + [j for j in range(SAMPLES) if (i - j) % CLASSES] for i in IDS]
    noise, loss = (len(rows[0]) - 1) / SAMPLES, 0
    for side, name, bank in ((s, "student", banks[1]), (t, "teacher", banks[0])):
        v = F.normalize(a.conv(side.maps[-1], f"embedding.{name}", 128).flatten(1))
        p = torch.exp(torch.einsum("njd,nd->nj", bank[torch.tensor(rows)], v) / 0.07)
        p = p / (SAMPLES * p.detach().mean())
        q = torch.cat([p[:, :1], torch.full_like(p[:, 1:], noise)], 1) / (p + noise + 1e-7)
        loss = loss - torch.log(q).sum() / N
    return loss


def srrl(a, s, t):
    g = F.relu(a.norm(a.conv(s.maps[-1], "transfer.conv", t.maps[-1].shape[1], bias=False), "transfer.norm"))
    head = [m for m in t.net.modules() if isinstance(m, torch.nn.Linear)][-1]
    return F.mse_loss(g, t.maps[-1]) + F.mse_loss(head(g.flatten(1)), t.logits)


def fitnet(a, s, t, hint=2):
    x, y = a.regressor(s.maps[hint], t.maps[hint], f"regressor.{hint}")
    return F.mse_loss(F.relu(x), y)


def ab(a, s, t):
    loss, chosen = 0, pairs(s, t)
    for i in chosen:
        x, y = s.pre[i], t.pre[i]
        if x.shape != y.shape:
            x, y = a.regressor(x, y, f"connector.{i}")
        each = torch.where(y > 0, F.relu(1 - x) ** 2, F.relu(x + 1) ** 2)
        loss = loss + 2.0 ** (i - chosen[-1]) * 0.003 / N * each.sum()
    return loss


def ft(a, s, t, initial=False):
    c, width = t.maps[-2].shape[1], s.maps[-2].shape[1]
    factor, x = t.maps[-2], s.maps[-2]
    for i, out in enumerate((c, c // 2, c // 2)):
        factor = F.leaky_relu(a.conv(factor, f"encoder.{i}.conv", out, 3, 1, 1), 0.1)
    again = factor
    for i, out in enumerate((c // 2, c, c)):
        again = F.leaky_relu(a.transposed(again, f"decoder.{i}.conv", out, 3, 1, 1), 0.1)
    for i, out in enumerate((width, c // 2, c // 2)):
        x = a.norm(a.conv(x, f"translator.{i}.conv", out, 3, 1, 1), f"translator.{i}.norm")
        x = F.leaky_relu(x, 0.1)
    if initial:
        return F.mse_loss(again, t.maps[-2])
    maps = (F.normalize((m ** 2).mean(1).flatten(1)) for m in pooled_alike(x, factor.detach()))
    return F.l1_loss(*maps)


def margins(norm):
    """Of each channel: the mean of N(b, w^2) below zero."""
    def one(s, b):
        density, tail = math.exp(-(b / s) ** 2 / 2) / math.sqrt(2 * math.pi), math.erfc(b / s / math.sqrt(2)) / 2
        return b - s * density / tail if tail > 0.001 else -3 * s

    values = [one(abs(w), b) for w, b in zip(norm.weight.tolist(), norm.bias.tolist())]
    return torch.tensor(values, dtype=torch.float64).view(1, -1, 1, 1)


def last_norm(net, i):
    """The batch norm that map i comes from before its ReLU."""
    if isinstance(net, MobileNetV2):
        return net.blocks[(0, 1, 2, 4, 6)[i]][-1].conv[-1]
    return getattr(net, f"layer{i}")[-1].bn2


def ofd(a, s, t):
    """Pairs from the deep end."""
    levels, loss = len(pairs(s, t)), 0
    for i in range(levels):
        at = i - levels - 1
        y, norm = t.pre[at], last_norm(t.net, len(t.maps) + at)
        x = a.norm(a.conv(s.pre[at], f"connector.{i}.conv", y.shape[1], bias=False), f"connector.{i}.norm")
        y = F.adaptive_avg_pool2d(y, x.shape[2])
        target = torch.maximum(y, margins(norm))
        counts = (x > target) | (y > 0)
        loss = loss + ((x - target) ** 2 * counts).sum() / N / 2 ** (levels - 1 - i)
    return loss


def reviewkd(a, s, t):
    loss, below, middle = 0, None, min(512, s.maps[-1].shape[1])
    for level in range(len(s.maps) - 1):
        f, y = s.maps[-1 - level], t.pre[-1 - level] if level else t.maps[-1]
        x = a.norm(a.conv(f, f"abf.{level}.conv1", middle, bias=False), f"abf.{level}.norm1")
        if level:
            deep = F.interpolate(below, f.shape[2], mode="nearest")
            gates = torch.sigmoid(a.conv(torch.cat([x, deep], 1), f"abf.{level}.gate", 2))
            x = gates[:, :1] * x + gates[:, 1:] * deep
        below = x = F.interpolate(x, y.shape[2], mode="nearest")
        x = a.norm(a.conv(x, f"abf.{level}.conv2", y.shape[1], 3, 1, 1, bias=False), f"abf.{level}.norm2")
        part, weight, total = F.mse_loss(x, y), 1.0, 1.0
        for side in (4, 2, 1):
            if side < y.shape[2]:
                weight /= 2
                total += weight
                part = part + weight * F.mse_loss(F.adaptive_avg_pool2d(x, side), F.adaptive_avg_pool2d(y, side))
        loss = loss + part / total
    return loss


METHODS = {
    "pkt": of_vectors(pkt), "sp": of_last_maps(sp), "vid": vid, "crd": crd, "srrl": srrl, "fitnet": fitnet,
    "fitnet_3": functools.partial(fitnet, hint=3), "at": of_map_pairs(at(2)), "rkd": of_vectors(rkd(25, 50)),
    "nst": of_map_pairs(nst), "cc": cc_of_embeddings, "ab.initial": ab,
    "ft.initial": functools.partial(ft, initial=True), "ft": ft, "fsp.initial": fsp_of_flows,
    "kdsvd": of_map_pairs(kdsvd(1)), "ofd": ofd, "ofd_still": ofd, "reviewkd": reviewkd,
}
TEACHER_IN_TRAINING = ["ofd"]
ALL = [run for run in METHODS if run not in ("fitnet_3", "ofd_still")]
# Equal networks; a wider teacher; one with smaller maps and one map more; one with smaller maps and as many, for
# methods that ask for that; one with larger maps.
PAIRS = {
    "equal": ("resnet8", "resnet8", ALL),
    "wide": ("resnet8", "resnet8x4", [run for run in ALL if run != "fsp.initial"] + ["ofd_still"]),
    "small": ("resnet8", "MobileNetV2",
              [run for run in METHODS if run not in ("ab.initial", "fsp.initial", "reviewkd", "ofd_still")]),
    "uneven": ("resnet8", "ShuffleV2", ["ab.initial", "reviewkd"]),
    "large": ("vgg8", "resnet8x4", ["fitnet", "fitnet_3", "ofd", "ofd_still"]),
}


# --- golden values

def fill(net, seed, kind):
    state = {name: v for name, v in net.state_dict().items() if not name.endswith("num_batches_tracked")}
    for name, value in state.items():
        value.copy_(draw(seed, stream(kind, name), name, tuple(value.shape)))
    return net


class Pair:
    def __init__(self, name, seed):
        student, teacher, self.runs = PAIRS[name]
        self.seed = seed
        self.student = fill(build(student, 1, CLASSES).double(), seed, STUDENT).train()
        self.teacher = fill(build(teacher, 1, CLASSES).double(), seed, TEACHER).eval()
        self.x = self.pixels(PIXELS)

    def pixels(self, kind, name=""):
        shape = (N, 1, SIDE, SIDE)
        return torch.from_numpy(normal(self.seed, stream(kind, name), math.prod(shape)).reshape(shape)).double()

    def step(self, run, x):
        """Loss and gradients by name."""
        adaptors = Adaptors(self.seed, run.split(".")[0].split("_")[0])
        with torch.no_grad():
            teacher = Side(copy.deepcopy(self.teacher).train(run in TEACHER_IN_TRAINING), x)
        self.student.zero_grad()
        loss = METHODS[run](adaptors, Side(self.student, x), teacher)
        loss.backward()
        values = dict(self.student.named_parameters()) | adaptors.values
        return loss.item(), {name: torch.zeros_like(v) if v.grad is None else v.grad.clone()
                             for name, v in values.items()}

    def roughness(self, limit):
        """How far noise of 3e-6 on the pixels moves a gradient, relative to its norm."""
        most = 0.0
        for run in self.runs:
            gradients = self.step(run, self.x)[1]
            floor = 1e-3 * max(g.norm().item() for g in gradients.values())
            for trial in range(3):
                for name, moved in self.step(run, self.x + 3e-6 * self.pixels(NOISE, str(trial)))[1].items():
                    g = gradients[name]
                    most = max(most, (moved - g).norm().item() / (g.norm().item() + floor))
                if most > limit:
                    return most
        return most


def smooth_seed(name, path):
    kept = kept_seed(path)
    if kept is not None:
        return kept
    best = (float("inf"), 0)
    for seed in range(1, TRIALS + 1):
        best = min(best, (Pair(name, seed).roughness(best[0]), seed))
        if best[0] <= 1e-4:
            break
    print(f"{name}: gradients move by {best[0]:.2g}", flush=True)
    return best[1]


def golden(name):
    path = pathlib.Path(__file__).with_name(f"adaptors_{name}.txt")
    seed = smooth_seed(name, path)
    pair = Pair(name, seed)
    with open(path, "w") as file:
        def put(key, *values):
            print(key, len(values), *("%.8g" % v for v in values), file=file)

        put("seed", seed)
        for run in pair.runs:
            loss, gradients = pair.step(run, pair.x)
            put(f"{run}.loss", loss)
            largest = max(g.norm().item() for g in gradients.values())
            for key, g in gradients.items():
                direction = torch.from_numpy(uniform(seed, stream(DIRECTION, key), g.numel())).double() * 2 - 1
                norm, product = g.norm().item(), (g.flatten() * direction).sum().item()
                # Of a bias before a batch norm there is only rounding.
                put(f"{run}.{key}", *((norm, product) if norm > 1e-12 * largest else (0, 0)))
    print(f"{path.name}: seed {seed}", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    for pair_name in sys.argv[1:] or PAIRS:
        golden(pair_name)
