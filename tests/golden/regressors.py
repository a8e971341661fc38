"""Golden values of the methods that bring the student's maps to the teacher's by a trained network:
what their losses make of the maps, from the definitions, by PyTorch autograd in double. Writes
regressors.txt beside itself. PyTorch 2.13.0."""
import math
import pathlib

import torch
import torch.nn.functional as F

out = open(pathlib.Path(__file__).with_suffix(".txt"), "w")


def put(key, values):
    values = torch.as_tensor(values, dtype=torch.float64).reshape(-1).tolist()
    print(key, len(values), *("%.9g" % v for v in values), file=out)


def draw(*shape, grad=False):
    x = torch.randn(*shape).float().double()
    return x.requires_grad_() if grad else x


def put_case(name, loss, maps):
    """maps: in the order of the loss; those with a gradient have .grad by now."""
    loss.backward()
    put(f"{name}.n", maps[0].shape[0])
    put(f"{name}.loss", loss.item())
    for i, x in enumerate(maps):
        put(f"{name}.{i}.shape", (list(x.shape[1:]) + [1, 1])[:3] if x.dim() > 1 else [x.numel(), 1, 1])
        put(f"{name}.{i}.x", x.detach())
        if x.grad is not None:
            put(f"{name}.{i}.dx", x.grad)


def vid():
    maps, loss = [], 0
    for c, h in ((5, 4), (3, 7)):
        mu, t, scale = draw(4, c, h, h, grad=True), draw(4, c, h, h), draw(c, grad=True)
        variance = F.softplus(scale) + 1e-5
        v = variance.view(1, -1, 1, 1)
        loss = loss + 0.5 * ((mu - t) ** 2 / v + torch.log(v)).mean()
        maps += [mu, t, scale]
    put_case("vid", loss, maps)


def srrl():
    n, k, c = 5, 7, 6
    g, f, t = draw(n, c, grad=True), draw(n, c), draw(n, k, grad=True)
    weight, bias = draw(k, c), draw(k)
    loss = F.mse_loss(g, f) + F.mse_loss(F.linear(g, weight, bias), t)
    put_case("srrl", loss, [g, f])
    for name, x in (("t", t), ("weight", weight), ("bias", bias), ("dt", t.grad)):
        put(f"srrl.{name}", x.detach())


def fitnet():
    r, t = draw(3, 4, 5, 5, grad=True), draw(3, 4, 5, 5)
    put_case("fitnet", F.mse_loss(r, t), [r, t])


def reviewkd():
    """HCL of a pooled vector, a small map and a map that is pooled to all of 4, 2 and 1."""
    maps, loss = [], 0
    for c, h in ((4, 1), (4, 3), (3, 7)):
        f, t = draw(2, c, h, h, grad=True), draw(2, c, h, h)
        x = f * 1.0  # what the loss reads besides the pooled maps: gradient of this path alone
        x.retain_grad()
        level, total, factor = F.mse_loss(x, t), 1.0, 1.0
        maps += [x, t]
        for side in (4, 2, 1):
            if side >= h:
                continue
            factor /= 2
            x, y = F.adaptive_avg_pool2d(f, (side, side)), F.adaptive_avg_pool2d(t, (side, side))
            x.retain_grad()
            level = level + factor * F.mse_loss(x, y)
            total += factor
            maps += [x, y]
        loss = loss + level / total
    put_case("reviewkd", loss, maps)


def margin(weight, bias):
    def one(s, m):
        s, phi = abs(s), math.exp(-((m / s) ** 2) / 2) / math.sqrt(2 * math.pi)
        tail = 0.5 * math.erfc(m / s / math.sqrt(2))
        return m - s * phi / tail if tail > 0.001 else -3 * s

    return torch.tensor([one(s, m) for s, m in zip(weight.tolist(), bias.tolist())], dtype=torch.float64)


def ofd():
    """Three levels; in the first the teacher's map is larger. Biases reach where the tail ends."""
    n, maps, loss, levels = 3, [], 0, [(4, 3, 6), (5, 4, 4), (6, 2, 2)]
    for i, (c, h, side) in enumerate(levels):
        x, t = draw(n, c, h, h, grad=True), draw(n, c, side, side)
        weight, bias = draw(c), draw(c)
        bias[0], weight[0] = 4.0, 1.0
        pooled = F.adaptive_avg_pool2d(t, (h, h))
        target = torch.max(pooled, margin(weight, bias).view(1, -1, 1, 1))
        mask = (x > target) | (pooled > 0)
        loss = loss + ((x - target) ** 2 * mask).sum() / n / 2 ** (len(levels) - i - 1)
        maps += [x, t]
        put(f"ofd.{i * 2 + 1}.weight", weight)
        put(f"ofd.{i * 2 + 1}.bias", bias)
    put_case("ofd", loss, maps)


def ab():
    n, maps, loss, levels = 3, [], 0, [(3, 5), (4, 3), (6, 2)]
    for i, (c, h) in enumerate(levels):
        x, t = draw(n, c, h, h, grad=True), draw(n, c, h, h)
        each = (x + 1) ** 2 * ((x > -1) & (t <= 0)) + (x - 1) ** 2 * ((x <= 1) & (t > 0))
        loss = loss + each.sum() / n * 0.003 * 2.0 ** (i - len(levels) + 1)
        maps += [x, t]
    put_case("ab", loss, maps)


def factor(f):
    return F.normalize((f ** 2).mean(1).reshape(f.shape[0], -1))


def ft():
    x, t = draw(3, 4, 5, 5, grad=True), draw(3, 4, 5, 5)
    put_case("ft", (factor(x) - factor(t)).abs().mean(), [x, t])
    x, t = draw(3, 4, 3, 3, grad=True), draw(3, 4, 3, 3)
    put_case("ft_initial", F.mse_loss(x, t), [x, t])


torch.manual_seed(20240705)
for case in (vid, srrl, fitnet, reviewkd, ofd, ab, ft):
    case()
