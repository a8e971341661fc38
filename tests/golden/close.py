"""Golden values of every loss that is small where student and teacher are close, at distances of 1e-3 and 1e-4: PyTorch
autograd in double. A KL of 1e-10 that double sums from terms of 1e-5 has few digits itself; those losses, and their
derivatives with respect to tau, are computed with 40 digits instead. Writes close.txt beside itself. PyTorch 2.13.0,
mpmath 1.3.0.

Logits: t.<d>, s.<d>, labels.<d>, tau.<name>; <loss>.<d>.<tau>.loss, .ds, .dt and, where it has one, .dtau.
Features: as relations.py, a case being <loss>_<d>; the student's maps have the teacher's shapes."""
import pathlib

import torch
import torch.nn.functional as F
from mpmath import diff, exp, log, mp, mpf, sqrt

import relations
from losses import dkd, kd
from methods import METHODS

DISTANCES = {"1e-3": 1e-3, "1e-4": 1e-4}
LOGITS = {
    "kd": lambda s, t, y, tau: kd(s, t, tau, False),
    "dkd": lambda s, t, y, tau: dkd(s, t, y, tau, 1, 8),
    **{name: METHODS[name] for name in ("dist", "lskd", "lskd_dkd", "ttm", "wttm", "mlkd")},
}


# --- with 40 digits, of one row

mp.dps = 40


def probabilities(x, tau):
    e = [exp(v / tau) for v in x]
    return [v / sum(e) for v in e]


def divergence(p, q):
    return sum(a * log(a / b) for a, b in zip(p, q))


def kd_row(s, t, y, tau):
    return tau ** 2 * divergence(probabilities(t, tau), probabilities(s, tau))


def dkd_row(s, t, y, tau):
    p, q = probabilities(t, tau), probabilities(s, tau)
    rest = [[v / (1 - x[y]) for j, v in enumerate(x) if j != y] for x in (p, q)]
    return tau ** 2 * (divergence([p[y], 1 - p[y]], [q[y], 1 - q[y]]) + 8 * divergence(*rest))


def standardised_row(x):
    mean = sum(x) / len(x)
    deviation = sqrt(sum((v - mean) ** 2 for v in x) / (len(x) - 1))
    return [(v - mean) / (deviation + mpf(10) ** -7) for v in x]


ROWS = {
    "kd": kd_row,
    "dkd": dkd_row,
    "lskd": lambda s, t, y, tau: kd_row(standardised_row(s), standardised_row(t), y, tau),
    "lskd_dkd": lambda s, t, y, tau: dkd_row(standardised_row(s), standardised_row(t), y, tau),
}


def mean_of(row):
    return lambda rows, taus: sum(row(*r, tau) for r, tau in zip(rows, taus)) / len(rows)


def share_below(values):
    median = (sorted(values)[(len(values) - 1) // 2] + sorted(values)[len(values) // 2]) / 2
    return mpf(sum(v <= median for v in values)) / len(values)


def products(a):
    return [[sum(x * y for x, y in zip(u, v)) for v in a] for u in a]


def distance(a, b):
    return sum((x - y) ** 2 for u, v in zip(a, b) for x, y in zip(u, v))


def mlkd_batch(rows, taus):
    confident = [probabilities(t, 1) for _, t, _ in rows]
    m, mc = share_below([max(p) for p in confident]), share_below([sum(c) for c in zip(*confident)])
    loss = 0
    for temperatures in (taus, *([mpf(v)] * len(rows) for v in (2, 3, 5, 6))):
        q, p = ([probabilities(r[i], tau) for r, tau in zip(rows, temperatures)] for i in (0, 1))
        loss += (1 + m) * mean_of(kd_row)(rows, temperatures) + m * distance(products(q), products(p)) / len(q)
        q, p = list(zip(*q)), list(zip(*p))
        loss += mc * distance(products(q), products(p)) / len(q)
    return loss


EXACT = {**{name: mean_of(row) for name, row in ROWS.items()}, "mlkd": mlkd_batch}


def exactly(loss_of, s, t, y, taus):
    """The loss, and d/dtau of one temperature or of one per sample."""
    n = len(s)
    rows = [([mpf(v) for v in a], [mpf(v) for v in b], int(c)) for a, b, c in zip(s.tolist(), t.tolist(), y)]
    taus = [mpf(v) for v in taus]

    def at(i, x):
        moved = [x if j == i else tau for j, tau in enumerate(taus)]
        return loss_of(rows, moved if len(moved) == n else moved * n)

    return float(at(0, taus[0])), [float(diff(lambda x, i=i: at(i, x), tau)) for i, tau in enumerate(taus)]


def squares(s, t):
    return F.mse_loss(s, t)


def levels(*maps):
    """ReviewKD's HCL of one map that is pooled to 4, 2 and 1, all of which are given."""
    total, loss = 0, 0
    for i in range(0, len(maps), 2):
        total, loss = total + 0.5 ** (i // 2), loss + 0.5 ** (i // 2) * F.mse_loss(*maps[i:i + 2])
    return loss / total


VECTORS, PAIRS, ALTERNATE = [(6, 1, 1)] * 2, [(2, 4, 3)] * 2 + [(3, 3, 3)] * 2 + [(2, 2, 2)] * 2, [True, False]
FEATURES = {
    "pkt": (VECTORS, ALTERNATE, relations.pkt),
    "sp": ([(3, 3, 2)] * 2, ALTERNATE, relations.sp),
    "at": (PAIRS, ALTERNATE, relations.at(2)),
    "rkd": (VECTORS, ALTERNATE, relations.rkd(25, 50)),
    "nst": (PAIRS, ALTERNATE, relations.nst),
    "cc": (VECTORS, [True], relations.cc),
    "fsp": ([(2, 4, 4), (3, 4, 4)] * 2, [True, True, False, False], relations.fsp),
    "kdsvd": (PAIRS, ALTERNATE, relations.kdsvd(1)),
    "fitnet": ([(2, 3, 3)] * 2, ALTERNATE, squares),
    "reviewkd": ([(2, 5, 5)] * 2 + [(2, 4, 4)] * 2 + [(2, 2, 2)] * 2 + [(2, 1, 1)] * 2, ALTERNATE, levels),
    "ft": ([(3, 3, 3)] * 2, ALTERNATE, lambda s, t: (relations.attention(s) - relations.attention(t)).abs().mean()),
}


def teacher_of(i, gradients):
    """The map that map i is close to; None: it is the teacher's itself."""
    n = len(gradients)
    if n == 1:
        return None if i % 2 else i + 1
    return i + n // 2 if gradients[i % n] else None


def main():
    torch.manual_seed(20241130)
    out = open(pathlib.Path(__file__).with_suffix(".txt"), "w")

    def put(key, values):
        values = torch.as_tensor(values, dtype=torch.float64).reshape(-1).tolist()
        print(key, len(values), *("%.9g" % v for v in values), file=out)

    n, k = 6, 9
    taus = {"4": [4.0], "each": [1.0, 2.5, 4.0, 8.25, 15.5, 20.0]}
    for name, tau in taus.items():
        put(f"tau.{name}", tau)
    for distance, d in DISTANCES.items():
        t0 = (torch.randn(n, k) * 3).float().double()
        s0 = (t0 + d * torch.randn(n, k)).float().double()
        y = torch.randint(0, k, (n,))
        for key, value in (("s", s0), ("t", t0), ("labels", y)):
            put(f"{key}.{distance}", value)
        for loss_name, loss_of in LOGITS.items():
            for name, tau0 in taus.items():
                s, t = s0.clone().requires_grad_(), t0.clone().requires_grad_()
                tau = torch.tensor(tau0, dtype=torch.float64).view(-1, 1).requires_grad_()
                loss = loss_of(s, t, y, tau.expand(n, 1))
                loss.backward()
                key = f"{loss_name}.{distance}.{name}"
                value, dtau = loss.item(), tau.grad
                if loss_name in EXACT:
                    value, dtau = exactly(EXACT[loss_name], s0, t0, y, tau0)
                put(f"{key}.loss", value)
                put(f"{key}.ds", s.grad)
                put(f"{key}.dt", t.grad)
                if dtau is not None:
                    put(f"{key}.dtau", dtau)
        for case, (shapes, gradients, loss_of) in FEATURES.items():
            maps = [None] * len(shapes)
            for i in reversed(range(len(shapes))):
                other = teacher_of(i, gradients)
                x = torch.randn(relations.N, *shapes[i])
                x = x.double() if other is None else maps[other].detach() + d * x
                maps[i] = x.float().double().requires_grad_(gradients[i % len(gradients)])
            loss = loss_of(*maps)
            loss.backward()
            put(f"{case}_{distance}.loss", loss.item())
            for i, x in enumerate(maps):
                put(f"{case}_{distance}.map.{i}.shape", x.shape[1:])
                put(f"{case}_{distance}.map.{i}.x", x.detach())
                if x.requires_grad:
                    put(f"{case}_{distance}.map.{i}.dx", x.grad)


if __name__ == "__main__":
    main()
