"""CTKDLoss against what it replaces: F.kl_div under a fixed temperature, with and without F.cross_entropy, forward and
backward, in alternation on one thread. One line per size: least time of each in many rounds, and the ratios.

usage: bench_ctkd_loss.py [ROUNDS]   (needs torch and ctkd)
"""
import sys
import time

import torch
import torch.nn.functional as F

from ctkd.torch import CTKDLoss


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


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 60
    torch.set_num_threads(1)
    for n, k in ((64, 100), (256, 1000)):
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


if __name__ == "__main__":
    main()
