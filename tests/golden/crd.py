"""Golden values of CRD: two steps, their draws, losses, gradients, banks and Z, from the definition, by
PyTorch autograd in double. Writes crd.txt beside itself. PyTorch 2.13.0."""
import math
import pathlib

import torch
import torch.nn.functional as F

PURPOSE_LOSS = 5
MASK = 0xFFFFFFFF
SEED, COUNT, CLASSES, DIM, BATCH, T, MOMENTUM = 0x123456789ABCDEF, 300, 4, 20, 5, 0.07, 0.5

out = open(pathlib.Path(__file__).with_suffix(".txt"), "w")


def put(key, values):
    values = torch.as_tensor(values, dtype=torch.float64).reshape(-1).tolist()
    print(key, len(values), *("%.9g" % v for v in values), file=out)


def philox(major, minor):
    """Four words of Philox 4x32-10 (Salmon et al. 2011) as ctkd/random.h lays out its counter."""
    c = [minor & MASK, minor >> 32, major & MASK, (major >> 32) ^ (PURPOSE_LOSS << 24)]
    k = [SEED & MASK, SEED >> 32]
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b & MASK, (a >> 32) ^ c[3] ^ k[1], a & MASK]
        k = [(k[0] + 0x9E3779B9) & MASK, (k[1] + 0xBB67AE85) & MASK]
    return c


def initial_bank(side):
    bound = math.sqrt(3 / DIM)
    words = [w for block in range(COUNT * DIM // 4) for w in philox(side, block)]
    return (torch.tensor([bound * ((w >> 8) * 2.0 ** -23 - 1) for w in words], dtype=torch.float64)
            .float().double().view(COUNT, DIM))


def below(bound, step, row, block=0):
    while True:
        for word in philox(2 + step, row << 32 | block):
            yield (word * bound) >> 32
        block += 1


def negatives(labels, step, row, m):
    others = [r for r in range(COUNT) if labels[r] != labels[row]]
    draws = below(len(others), step, row)
    if m > len(others):
        return sorted(others[next(draws)] for _ in range(m))
    chosen, leave_out = set(), m > len(others) // 2
    while len(chosen) < (len(others) - m if leave_out else m):
        chosen.add(next(draws))
    return [r for i, r in enumerate(others) if (i in chosen) != leave_out]


def positive(labels, step, row, relax):
    if not relax:
        return row
    own = [r for r in range(COUNT) if labels[r] == labels[row]]
    return own[next(below(len(own), step, row, MASK))]


def side(scores, z, m):
    c, eps = m / COUNT, 1e-7
    e = torch.exp(scores / T)
    z = COUNT * e.mean().item() if z is None else z
    p = e / z
    loss = torch.log(p[:, 0] / (p[:, 0] + c + eps)).sum() + torch.log(c / (p[:, 1:] + c + eps)).sum()
    return -loss / len(p), z


def case(name, m, relax, labels):
    banks, z = [initial_bank(0), initial_bank(1)], [None, None]
    for step, ids in ((3, [7, 299, 0, 130, 41]), (4, [8, 0, 222, 255])):
        x = [torch.randn(len(ids), DIM).float().double().requires_grad_() for _ in range(2)]
        v = [F.normalize(u) for u in x]
        rows = [[positive(labels, step, r, relax)] + negatives(labels, step, r, m) for r in ids]
        index = torch.tensor(rows)
        total = 0
        for s in range(2):
            one, z[s] = side(torch.einsum("njd,nd->nj", banks[1 - s][index], v[s]), z[s], m)
            total = total + one
        total.backward()
        for s in range(2):
            for i, r in enumerate(ids):
                banks[s][r] = F.normalize(MOMENTUM * banks[s][r] + (1 - MOMENTUM) * v[s][i].detach(), dim=0)
        key = f"{name}.{step}"
        put(f"{key}.ids", ids)
        put(f"{key}.rows", rows if len(rows[0]) < 120 else [r[:20] for r in rows])
        put(f"{key}.loss", total.item())
        put(f"{key}.z", z)
        for s in range(2):
            put(f"{key}.{s}.x", x[s].detach())
            put(f"{key}.{s}.dx", x[s].grad)
            put(f"{key}.{s}.bank", banks[s][sorted(ids)])


torch.manual_seed(20240706)
labels = torch.randint(0, CLASSES, (COUNT,)).tolist()
put("labels", labels)
case("few", 60, False, labels)
case("most", 200, False, labels)  # more than half: those left out are drawn
case("repeated", 1000, False, labels)  # more than there are
case("relax", 60, True, labels)
