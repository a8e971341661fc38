"""Golden values of the methods on logits: PyTorch autograd in double. Writes methods.txt beside
itself. PyTorch 2.13.0."""
import pathlib

import torch

from losses import dkd, kd


def pearson(a, b):
    a, b = a - a.mean(1, keepdim=True), b - b.mean(1, keepdim=True)
    return (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1) + 1e-8)


def dist(s, t, tau):
    q, p = torch.softmax(s / tau, 1), torch.softmax(t / tau, 1)
    inter, intra = 1 - pearson(q, p), 1 - pearson(q.t(), p.t()).mean()
    return (tau.squeeze(1) ** 2 * (inter + intra)).mean()


def standardised(x):
    return (x - x.mean(1, keepdim=True)) / (x.std(1, keepdim=True) + 1e-7)


def power(s, t, exponent, weighted):
    log_p, log_q = torch.log_softmax(exponent * t, 1), torch.log_softmax(s, 1)
    kl = (log_p.exp() * (log_p - log_q)).sum(1)
    return (kl * (torch.softmax(t, 1) ** exponent).sum(1) if weighted else kl).mean()


def mlkd(s, t, tau, view="only", mask=False, of_kd=lambda x: x):
    """Of one of its two views, or with one view for both. mask: samples and classes one by one. of_kd: what the KD
    terms make of the logits first."""
    n, k = s.shape
    p = torch.softmax(t, 1).detach()

    def below(x):
        chosen = (x <= torch.quantile(x, 0.5)).double()
        return chosen if mask else chosen.mean().expand(len(x))

    m, mc, loss = below(p.max(1)[0]), below(p.sum(0)), 0
    for temperature in (tau, 2, 3, 5, 6):
        tau_i = temperature if torch.is_tensor(temperature) else torch.full_like(tau, temperature)
        q, p = torch.softmax(s / tau_i, 1), torch.softmax(t / tau_i, 1)
        strong = torch.is_tensor(temperature) or temperature in (3, 5)
        here = view == "only" or strong == (view == "strong")
        if here:
            loss = loss + kd(of_kd(s), of_kd(t), tau_i, False)
        if view == "strong":
            continue
        for i in range(n):
            loss = loss + m[i] / n * kd(of_kd(s[i:i + 1]), of_kd(t[i:i + 1]), tau_i[i:i + 1], False)
        loss = loss + (m.view(n, 1) * (q @ q.t() - p @ p.t()) ** 2).sum() / n
        loss = loss + (mc.view(k, 1) * (q.t() @ q - p.t() @ p) ** 2).sum() / k
    return loss


METHODS = {
    "dist": lambda s, t, y, tau: dist(s, t, tau),
    "lskd": lambda s, t, y, tau: kd(standardised(s), standardised(t), tau, False),
    "lskd_dkd": lambda s, t, y, tau: dkd(standardised(s), standardised(t), y, tau, 1, 8),
    "ttm": lambda s, t, y, tau: power(s, t, 0.1, False),
    "wttm": lambda s, t, y, tau: power(s, t, 0.2, True),
    "mlkd": lambda s, t, y, tau: mlkd(s, t, tau),
    "mlkd_weak": lambda s, t, y, tau: mlkd(s, t, tau, "weak"),
    "mlkd_mask": lambda s, t, y, tau: mlkd(s, t, tau, mask=True),
    "mlkd_mask_weak": lambda s, t, y, tau: mlkd(s, t, tau, "weak", True),
    "mlkd_strong": lambda s, t, y, tau: mlkd(s, t, tau, "strong"),
    "mlkd_lskd": lambda s, t, y, tau: mlkd(s, t, tau, of_kd=standardised),
    "mlkd_lskd_strong": lambda s, t, y, tau: mlkd(s, t, tau, "strong", of_kd=standardised),
}


def main():
    torch.manual_seed(20240611)
    out = open(pathlib.Path(__file__).with_suffix(".txt"), "w")

    def put(key, values):
        values = torch.as_tensor(values, dtype=torch.float64).reshape(-1).tolist()
        print(key, len(values), *("%.9g" % v for v in values), file=out)

    n, k = 6, 9
    taus = {"1": [1.0], "4": [4.0], "each": [1.0, 2.5, 4.0, 8.25, 15.5, 20.0]}
    for name, tau in taus.items():
        put(f"tau.{name}", tau)
    for scale in (1, 5):
        s0 = (torch.randn(n, k) * scale).float().double()
        t0 = (torch.randn(n, k) * scale).float().double()
        y = torch.randint(0, k, (n,))
        put(f"s.{scale}", s0)
        put(f"t.{scale}", t0)
        put(f"labels.{scale}", y)
        for method, loss_of in METHODS.items():
            for name, tau0 in taus.items():
                s, t = s0.clone().requires_grad_(), t0.clone().requires_grad_()
                tau = torch.tensor(tau0, dtype=torch.float64).view(-1, 1).requires_grad_()
                loss = loss_of(s, t, y, tau.expand(n, 1))
                loss.backward()
                key = f"{method}.{scale}.{name}"
                put(f"{key}.loss", loss.item())
                put(f"{key}.ds", s.grad)
                put(f"{key}.dt", t.grad)
                if tau.grad is not None:
                    put(f"{key}.dtau", tau.grad)


if __name__ == "__main__":
    main()
