"""Golden values of the losses: PyTorch autograd in double. Writes losses.txt beside itself.

PyTorch 2.13.0. DKD is written with the target's column removed, because differentiating the
published mask through tau gives NaN.
"""
import pathlib

import torch

def kd(s, t, tau, epsilon):
    p, log_q = torch.softmax(t / tau, 1), torch.log_softmax(s / tau, 1)
    if epsilon:
        kl = (p + 1e-7) * (torch.log(p + 1e-7) - log_q)
    else:
        kl = p * (torch.log_softmax(t / tau, 1) - log_q)
    return (tau.squeeze(1) ** 2 * kl.sum(1)).mean()


def dkd(s, t, y, tau, alpha, beta):
    z, u = s / tau, t / tau
    others = torch.ones_like(s, dtype=torch.bool).scatter(1, y[:, None], False)

    def target_and_rest(x):
        log_all = torch.log_softmax(x, 1)
        rest = log_all[others].view(len(x), -1)
        return log_all.gather(1, y[:, None]).squeeze(1), torch.logsumexp(rest, 1)

    log_a, log_a_rest = target_and_rest(z)
    log_p, log_p_rest = target_and_rest(u)
    tckd = log_p.exp() * (log_p - log_a) + log_p_rest.exp() * (log_p_rest - log_a_rest)
    log_q = torch.log_softmax(z[others].view(len(s), -1), 1)
    log_t = torch.log_softmax(u[others].view(len(s), -1), 1)
    nckd = (log_t.exp() * (log_t - log_q)).sum(1)
    return (tau.squeeze(1) ** 2 * (alpha * tckd + beta * nckd)).mean()


def main():
    torch.manual_seed(20230207)
    out = open(pathlib.Path(__file__).with_suffix(".txt"), "w")

    def put(key, values):
        values = torch.as_tensor(values, dtype=torch.float64).reshape(-1).tolist()
        print(key, len(values), *("%.9g" % v for v in values), file=out)

    n, k = 6, 9
    for scale in (1, 5, 50):
        s0 = (torch.randn(n, k) * scale).float().double()
        t0 = (torch.randn(n, k) * scale).float().double()
        y = torch.randint(0, k, (n,))
        y[:2] = t0[:2].argmax(1)  # a confident and right teacher
        put(f"s.{scale}", s0)
        put(f"t.{scale}", t0)
        put(f"labels.{scale}", y)
        s = s0.clone().requires_grad_()
        loss = torch.nn.functional.cross_entropy(s, y)
        loss.backward()
        put(f"ce.{scale}.loss", loss.item())
        put(f"ce.{scale}.ds", s.grad)
        for name, tau0 in (("1", [1.0]), ("4", [4.0]), ("20", [20.0]),
                           ("each", [1.0, 2.5, 4.0, 8.25, 15.5, 20.0])):
            put(f"tau.{name}", tau0)
            for form in ("kd", "kd_epsilon", "dkd"):
                s, t = s0.clone().requires_grad_(), t0.clone().requires_grad_()
                tau = torch.tensor(tau0, dtype=torch.float64).view(-1, 1).requires_grad_()
                if form == "dkd":
                    loss = dkd(s, t, y, tau.expand(n, 1), 1.5, 6.0)
                else:
                    loss = kd(s, t, tau.expand(n, 1), form == "kd_epsilon")
                loss.backward()
                key = f"{form}.{scale}.{name}"
                put(f"{key}.loss", loss.item())
                put(f"{key}.ds", s.grad)
                put(f"{key}.dt", t.grad)
                put(f"{key}.dtau", tau.grad)


if __name__ == "__main__":
    main()
