"""The other losses on logits in operations of PyTorch, in double, for tensors on devices other than the CPU. Only their
values are written out (doc/methods.md). Gradients come from autograd, so every value must have a gradient even where
rows are constant."""
from __future__ import annotations

from typing import Any, Callable, Dict, Tuple

import torch
from torch import Tensor

from . import _formulas


def _kl(log_p: Tensor, log_q: Tensor) -> Tensor:
    return (log_p.exp() * (log_p - log_q)).sum(1)


def _root(squares: Tensor) -> Tensor:
    """Square root whose derivative at 0 is 0."""
    positive = squares > 0
    return torch.where(positive, squares, 1).sqrt() * positive


def _standardised(x: Tensor) -> Tensor:
    centred = x - x.mean(1, keepdim=True)
    return centred / (_root(centred.square().sum(1, keepdim=True) / (x.shape[1] - 1)) + 1e-7)


# Losses of each sample, [n]; the loss of a batch is their mean. hot: [n, k], true at the label.
def lskd(s: Tensor, t: Tensor, tau: Tensor, hot: Tensor, base: str = "kd", alpha: float = 1.0, beta: float = 8.0) -> Tensor:
    z, u = _standardised(s), _standardised(t)
    return (_formulas.dkd(z, u, tau, hot, alpha, beta) if base == "dkd" else _formulas.kd(z, u, tau)).loss


def ttm(s: Tensor, t: Tensor, tau: Tensor, hot: Tensor, exponent: float = 0.1) -> Tensor:
    return _kl(torch.log_softmax(exponent * t, 1), torch.log_softmax(s, 1))


def wttm(s: Tensor, t: Tensor, tau: Tensor, hot: Tensor, exponent: float = 0.2) -> Tensor:
    return (exponent * torch.log_softmax(t, 1)).exp().sum(1) * ttm(s, t, tau, hot, exponent)


# Losses of a whole batch, which compare samples.
def _correlation(q: Tensor, p: Tensor, dim: int) -> Tensor:
    q, p = q - q.mean(dim, keepdim=True), p - p.mean(dim, keepdim=True)
    return (q * p).sum(dim) / (_root(q.square().sum(dim)) * _root(p.square().sum(dim)) + 1e-8)


def dist(s: Tensor, t: Tensor, tau: Tensor, inter: float = 1.0, intra: float = 1.0) -> Tensor:
    q, p, squares = torch.softmax(s / tau[:, None], 1), torch.softmax(t / tau[:, None], 1), tau**2
    return (squares * (inter * (1 - _correlation(q, p, 1)) + intra * (1 - _correlation(q, p, 0).mean()))).mean()


def _unsure(confidence: Tensor, mask: bool) -> Tensor:
    """1 where a confidence is not above the median, else 0; without `mask` the share of these everywhere."""
    ordered, n = confidence.sort().values, len(confidence)
    below = (confidence <= (ordered[(n - 1) // 2] + ordered[n // 2]) / 2).to(confidence.dtype)
    return below if mask else below.mean().expand(n)


def mlkd(s: Tensor, t: Tensor, tau: Tensor, mask: bool = False, standardise: bool = False) -> Tensor:
    n, k = s.shape
    certain = torch.softmax(t, 1)
    m, mc = _unsure(certain.max(1).values, mask), _unsure(certain.sum(0), mask)
    z, u = (_standardised(s), _standardised(t)) if standardise else (s, t)
    loss = torch.zeros((), dtype=s.dtype, device=s.device)
    for temperature in (tau, *(torch.full_like(tau, x) for x in (2, 3, 5, 6))):
        q, p = (torch.softmax(x / temperature[:, None], 1) for x in (s, t))
        qq, qp, pp = q @ q.T, q @ p.T, p @ p.T
        classes = (q * mc) @ q.T * qq - 2 * ((q * mc) @ p.T * qp) + (p * mc) @ p.T * pp
        each = (m + 1) * _formulas.kd(z, u, temperature).loss + m * (qq - pp).square().sum(1)
        loss = loss + each.sum() / n + classes.sum() / k
    return loss


EACH: Dict[str, Callable[..., Tensor]] = {"lskd": lskd, "ttm": ttm, "wttm": wttm}
WHOLE: Dict[str, Callable[..., Tensor]] = {"dist": dist, "mlkd": mlkd}


def with_gradients(loss: Callable[..., Tensor], s: Tensor, t: Tensor, tau: Tensor, *more: Any,
                   **options: Any) -> Tuple[Tensor, Tensor, Tensor]:
    """A loss and, of its sum, the gradients by s and tau."""
    with torch.enable_grad():
        s, tau = s.detach().requires_grad_(), tau.detach().requires_grad_()
        value = loss(s, t, tau, *more, **options)
        ds, dtau = torch.autograd.grad(value.sum(), (s, tau), allow_unused=True, materialize_grads=True)
    return value.detach(), ds, dtau
