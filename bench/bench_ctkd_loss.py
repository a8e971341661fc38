"""CTKDLoss against what it replaces: F.kl_div under a fixed temperature, with and without F.cross_entropy, forward and
backward, in alternation on one thread. One line per size: least time of each in many rounds, and the ratios. At last their share
of a step of resnet20 (64 images of 32 x 32, 100 classes; the teacher's logits are given).

usage: bench_ctkd_loss.py [ROUNDS]   (needs torch and ctkd)
"""
import sys
import time

import torch
import torch.nn.functional as F

from ctkd.torch import CTKDLoss
from torch_step import resnet


def plain(s, t, y):
    return 16 * F.kl_div(F.log_softmax(s / 4, 1), F.softmax(t / 4, 1), reduction="batchmean")


def both(s, t, y):
    return 0.1 * F.cross_entropy(s, y) + 0.9 * plain(s, t, y)


def seconds(function, s, t, y, calls):
    start = time.perf_counter()
    for _ in range(calls):
        s.grad = None
        function(s, t, y).backward()
    return (time.perf_counter() - start) / calls


def measure(n, k, rounds):
    s, t, y = torch.randn(n, k).requires_grad_(), 3 * torch.randn(n, k), torch.randint(0, k, (n,))
    learnt, fixed = CTKDLoss(), CTKDLoss(4.0)
    cases = {"kl_div": plain, "kl_div + cross_entropy": both, "CTKDLoss": lambda *a: learnt(*a, epoch=3),
             "CTKDLoss(4.0)": fixed}
    calls = max(1, 20000 // (n * k // 100))
    best = {name: float("inf") for name in cases}
    for _ in range(rounds):
        for name, function in cases.items():
            best[name] = min(best[name], seconds(function, s, t, y, calls))
    print(f"{n} x {k}: " + ", ".join(f"{name} {1e6 * value:.0f} us" for name, value in best.items()) +
          f"; CTKDLoss is {best['CTKDLoss'] / best['kl_div']:.2f} times kl_div, "
          f"{best['CTKDLoss'] / best['kl_div + cross_entropy']:.2f} times both")
    return best


def share(best, rounds):
    network = resnet(20, 100).to(memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(network.parameters(), 0.05, momentum=0.9, weight_decay=5e-4)
    x = torch.randn(64, 3, 32, 32).to(memory_format=torch.channels_last)
    t, y = 3 * torch.randn(64, 100), torch.randint(0, 100, (64,))
    learnt = CTKDLoss()
    cases = {"kl_div + cross_entropy": both, "CTKDLoss": lambda *a: learnt(*a, epoch=3)}
    times = {name: [] for name in cases}
    for _ in range(rounds):
        for name, function in cases.items():
            start = time.perf_counter()
            optimiser.zero_grad()
            function(network(x), t, y).backward()
            optimiser.step()
            times[name].append(time.perf_counter() - start)
    for name, values in times.items():
        step = sorted(values)[len(values) // 2]
        print(f"step of resnet20 with {name}: {1e3 * step:.1f} ms, of which {100 * best[name] / step:.2f} % are the loss")


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    torch.set_num_threads(1)
    best = measure(64, 100, rounds)
    measure(256, 1000, rounds)
    share(best, rounds)


if __name__ == "__main__":
    main()
