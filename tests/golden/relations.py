"""Golden values of the methods that compare relations of features: PyTorch autograd in double, from
the definitions. Writes relations.txt beside itself. PyTorch 2.13.0.

Per case: <case>.map.<i>.shape (c h w), .x and, where the loss has a gradient, .dx; <case>.loss.
The maps are in the order in which libctkd's eval takes them; n = 5."""
import pathlib

import torch
import torch.nn.functional as F

N = 5


def flat(x):
    return x.reshape(len(x), -1)


def pkt(s, t, e=1e-7):
    def conditional(f):
        v = flat(f) / (flat(f).norm(dim=1, keepdim=True) + e)
        m = (v @ v.T + 1) / 2
        return m / m.sum(1, keepdim=True)

    p, q = conditional(t), conditional(s)
    return (p * torch.log((p + e) / (q + e))).mean()


def sp(s, t):
    g, h = (F.normalize(flat(f) @ flat(f).T) for f in (s, t))
    return ((g - h) ** 2).sum() / N**2


def attention(f, p=2):
    return F.normalize(flat(f.pow(p).mean(1)))


def at(p):
    def loss(*maps):
        return sum(((attention(s, p) - attention(t, p)) ** 2).mean() for s, t in zip(maps[::2], maps[1::2]))

    return loss


def rkd(w_distance, w_angle):
    def distances(f):
        d = (f[:, None] - f[None]).pow(2).sum(2)
        d = torch.where(torch.eye(N, dtype=bool), torch.zeros_like(d), d.clamp(min=1e-12)).clone()
        off = ~torch.eye(N, dtype=bool)
        root = torch.zeros_like(d)
        root[off] = d[off].sqrt()
        return root / root[root > 0].mean()

    def angles(f):
        e = F.normalize(f[None] - f[:, None], dim=2)
        return torch.bmm(e, e.transpose(1, 2))

    def loss(s, t):
        s, t = flat(s), flat(t)
        return w_distance * F.smooth_l1_loss(distances(s), distances(t)) + w_angle * F.smooth_l1_loss(
            angles(s), angles(t)
        )

    return loss


def nst(*maps):
    def kernel(a, b):
        a, b = (F.normalize(f.reshape(N, f.shape[1], -1), dim=2) for f in (a, b))
        return (a[:, :, None] * b[:, None]).sum(3).pow(2).mean()

    return sum(
        kernel(t, t) + kernel(s, s) - 2 * kernel(s, t) for s, t in zip(maps[::2], maps[1::2])
    )


def cc(s, t):
    d = (flat(s) - flat(t)).abs()
    return (d[:-1] * d[1:]).sum() / (N - 1)


def fsp(*maps):
    def flow(x, w):
        return torch.einsum("ncp,ndp->ncd", x.flatten(2), w.flatten(2)) / x[0, 0].numel()

    return sum(
        ((flow(*maps[i : i + 2]) - flow(*maps[i + 2 : i + 4])) ** 2).mean()
        for i in range(0, len(maps), 4)
    )


def kdsvd(k):
    def decompose(f):
        _, values, v = torch.linalg.svd(f.reshape(N, -1, f.shape[3]), full_matrices=False)
        return values, v.transpose(1, 2)

    def aligned(s, t):
        with torch.no_grad():
            values, v_t = decompose(t)
            v_t, values = v_t[..., :k], F.normalize(values[..., :k], dim=1)
            largest = v_t.gather(1, v_t.abs().argmax(1, keepdim=True))
            v_t = v_t * largest.sign()  # the sign is free: the largest entry is positive
        v_s = decompose(s)[1][..., : k + 3]
        with torch.no_grad():
            c = v_s.transpose(1, 2) @ v_t
            mask = torch.where(c.abs() == c.abs().amax(1, keepdim=True), c.sign(), torch.zeros_like(c))
        return (v_s @ mask) * values[:, None], v_t * values[:, None]

    def relation(cur, prev):
        return torch.exp(-((cur[:, :, None] - prev[:, None]) ** 2) / 8)

    def loss(*maps):
        pairs = [aligned(s, t) for s, t in zip(maps[::2], maps[1::2])]
        return sum(
            ((relation(cur[0], prev[0]) - relation(cur[1], prev[1])) ** 2).sum() / N
            for prev, cur in zip(pairs, pairs[1:])
        )

    return loss


# Shapes of the maps, which of them get gradients, the loss.
VECTORS = [(6, 1, 1), (9, 1, 1)]
PAIRS = [(3, 6, 5), (4, 6, 5), (5, 4, 4), (6, 4, 4), (4, 2, 2), (5, 2, 2)]
ALTERNATE = [True, False]
CASES = {
    "pkt": (VECTORS, ALTERNATE, pkt),
    "sp": ([(5, 3, 2), (4, 3, 3)], ALTERNATE, sp),
    "at": (PAIRS, ALTERNATE, at(2)),
    "at_4": (PAIRS, ALTERNATE, at(4)),
    "rkd": (VECTORS, ALTERNATE, rkd(25, 50)),
    "rkd_distance": (VECTORS, ALTERNATE, rkd(25, 0)),
    "nst": (PAIRS, ALTERNATE, nst),
    "cc": ([(16, 1, 1), (16, 1, 1)], [True], cc),
    "fsp": (
        [(3, 6, 6), (4, 6, 6), (3, 6, 6), (4, 6, 6), (4, 3, 2), (5, 3, 2), (4, 3, 3), (5, 3, 3)],
        [True, True, False, False],
        fsp,
    ),
    "kdsvd": (PAIRS, ALTERNATE, kdsvd(1)),
    "kdsvd_2": (PAIRS, ALTERNATE, kdsvd(2)),
}


def main():
    torch.manual_seed(20240917)
    out = open(pathlib.Path(__file__).with_suffix(".txt"), "w")

    def put(key, values):
        values = torch.as_tensor(values, dtype=torch.float64).reshape(-1).tolist()
        print(key, len(values), *("%.9g" % v for v in values), file=out)

    for case, (shapes, gradients, loss_of) in CASES.items():
        maps = []
        for i, shape in enumerate(shapes):
            x = torch.randn(N, *shape)
            x = (x if shape[2] == 2 else x + 0.5 * x.abs()).double()
            maps.append(x.requires_grad_(gradients[i % len(gradients)]))
        loss = loss_of(*maps)
        loss.backward()
        put(f"{case}.loss", loss.item())
        for i, x in enumerate(maps):
            put(f"{case}.map.{i}.shape", x.shape[1:])
            put(f"{case}.map.{i}.x", x.detach())
            if x.requires_grad:
                put(f"{case}.map.{i}.dx", x.grad)


if __name__ == "__main__":
    main()
