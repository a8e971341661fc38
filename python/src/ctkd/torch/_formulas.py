"""The same evaluation in operations of PyTorch, for tensors on other devices than the CPU: nothing is copied to the host.

Row values are computed in double, as in the library. n samples, k classes; p and q are the softened softmaxes of teacher and
student; every gradient is written out (doc/methods.md), none comes from autograd.
"""
from __future__ import annotations

import math
from typing import NamedTuple, Optional, Tuple, Union

import torch
from torch import Tensor

from .. import _library as c
from .._losses import methods
from . import _methods
from ._settings import Settings, settings_of

WITH_LABELS = [method.name for method in methods() if method.needs_labels]


class Rows(NamedTuple):
    """The loss of each sample [n] and its gradients by the student's logits [n, k] and by tau [n]."""

    loss: Tensor
    ds: Tensor
    dtau: Tensor


def divergence(s: Tensor, t: Tensor, tau: Tensor, epsilon: float, without: Optional[Tensor] = None) -> Rows:
    """
    KL(p || q), not yet times tau^2, over all classes or those that `without` [n, k] leaves; with epsilon the published
    (p + epsilon) (log(p + epsilon) - log q).
    """
    tau = tau[:, None]
    u, z = t / tau, s / tau
    if without is not None:
        u, z = u.masked_fill(without, -math.inf), z.masked_fill(without, -math.inf)
    log_p, log_q = torch.log_softmax(u, 1), torch.log_softmax(z, 1)
    p, q = log_p.exp(), log_q.exp()
    if without is not None:  # 0 * -inf would be NaN
        log_p, log_q = log_p.masked_fill(without, 0), log_q.masked_fill(without, 0)
    w = p + epsilon
    ratio = (w.log() if epsilon else log_p) - log_q
    dlog_p = -(t - (p * t).sum(1, keepdim=True)) / tau**2
    dlog_q = -(s - (q * s).sum(1, keepdim=True)) / tau**2
    return Rows((w * ratio).sum(1), (w.sum(1, keepdim=True) * q - w) / tau,
                (p * dlog_p * ratio).sum(1) - (w * dlog_q).sum(1))


def _squared(rows: Rows, tau: Tensor) -> Rows:
    """tau^2 times a loss, with its gradient by tau from the product rule."""
    return Rows(tau**2 * rows.loss, tau[:, None] ** 2 * rows.ds, 2 * tau * rows.loss + tau**2 * rows.dtau)


def kd(s: Tensor, t: Tensor, tau: Tensor, form: str = "exact") -> Rows:
    return _squared(divergence(s, t, tau, 1e-7 if form == "epsilon" else 0.0), tau)


def _target(s: Tensor, t: Tensor, tau: Tensor, hot: Tensor) -> Rows:
    """TCKD: the two-class KL of target against the rest, by the logits x = u_y - lse_{j != y} u of its probability."""

    def of(x: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        scaled = (x / tau[:, None]).masked_fill(hot, -math.inf)
        rest = torch.softmax(scaled, 1)
        target = (x * hot).sum(1)
        return target / tau - torch.logsumexp(scaled, 1), rest, -(target - (rest * x).sum(1)) / tau**2

    (x_t, _, dx_t), (x_s, rest, dx_s) = of(t), of(s)
    p, q = torch.sigmoid(x_t), torch.sigmoid(x_s)
    log = torch.nn.functional.logsigmoid
    kl = p * (log(x_t) - log(x_s)) + torch.sigmoid(-x_t) * (log(-x_t) - log(-x_s))
    difference = (q - p)[:, None]
    ds = torch.where(hot, difference, -difference * rest) / tau[:, None]
    return Rows(kl, ds, p * torch.sigmoid(-x_t) * (x_t - x_s) * dx_t + (q - p) * dx_s)


def dkd(s: Tensor, t: Tensor, tau: Tensor, hot: Tensor, alpha: float = 1.0, beta: float = 8.0) -> Rows:
    target, rest = _target(s, t, tau, hot), divergence(s, t, tau, 0.0, hot)
    return _squared(Rows(*(alpha * a + beta * b for a, b in zip(target, rest))), tau)


def _cross_entropy(s: Tensor, y: Tensor) -> Tuple[Tensor, Tensor]:
    total = y.sum(1, keepdim=True)
    return total[:, 0] * torch.logsumexp(s, 1) - (y * s).sum(1), total * torch.softmax(s, 1) - y


class _Network(NamedTuple):
    """The network of a temperature per sample: theta_i = w2 . relu(W1 x_i + b1) + b2."""

    w1: Tensor
    b1: Tensor
    w2: Tensor
    b2: Tensor


def _network(theta: Tensor, k: int, hidden: int) -> _Network:
    w1, b1, w2, b2 = theta.split([hidden * 2 * k, hidden, hidden, 1])
    return _Network(w1.view(hidden, 2 * k), b1, w2, b2)


def _strength(settings: Settings, epoch: int, moves: Tensor) -> Union[float, Tensor]:
    n = settings["curriculum_steps"]
    if not n:
        return settings.strength(epoch)
    at = (moves + 1).to(torch.float64).clamp(max=n)
    grown = {"cosine": (1 - torch.cos(math.pi * at / n)) / 2, "linear": at / n, "none": torch.ones_like(at),
             "linear_official": at.clamp(max=n - 1) / n}[settings["curriculum"]]
    return settings["lambda_min"] + (settings["lambda_max"] - settings["lambda_min"]) * grown


def _describe(tau: Tensor, counted: Tensor) -> Tuple[Tensor, ...]:
    """Mean, smallest and largest temperature of the samples that count; 0 if there are none."""
    number = counted.sum()
    return tuple(torch.where(number > 0, x, 0) for x in (
        torch.where(counted, tau, 0).sum() / number.clamp(min=1),
        torch.where(counted, tau, math.inf).min(), torch.where(counted, tau, -math.inf).max()))


def _out_of_range(k: int, labels: Optional[Tensor], soft: Optional[Tensor], weights: Optional[Tensor], counted: Tensor,
                  labelled: Tensor) -> Tensor:
    """Samples with a label, a soft label or a weight that the library would refuse. An exception would have to wait for the
    device, so their loss becomes NaN instead."""
    wrong = torch.zeros_like(counted)
    if labels is not None:
        wrong = wrong | labelled & ((labels < 0) | (labels >= k))
    if soft is not None:
        wrong = wrong | labelled & (soft < 0).any(1)
    if weights is not None:
        wrong = wrong | counted & (weights < 0)
    return wrong


def _method(settings: Settings, s: Tensor, t: Tensor, tau: Tensor, hot: Optional[Tensor], mask: Optional[Tensor],
            weights: Optional[Tensor], over_counted: Tensor, over_labelled: Tensor) -> Tuple[Rows, Tensor]:
    """The method's rows, and the share of each in the loss. A loss that compares samples is spread over all that count."""
    name, options = settings["method"], settings.method_options
    if hot is None and name in WITH_LABELS:
        raise c.InvalidArgument(f"target: found no labels, expected some, because {name} reads them")
    chosen = over_labelled if name in WITH_LABELS else over_counted
    if name == "kd":
        return kd(s, t, tau, **options), chosen
    if name == "dkd":
        return dkd(s, t, tau, hot, **options), chosen
    if name in _methods.EACH:
        return Rows(*_methods.with_gradients(_methods.EACH[name], s, t, tau, hot, **options)), chosen
    if weights is not None:
        raise c.InvalidArgument(f"weights: expected None, because {name} compares samples with each other")
    one = torch.ones_like(tau)
    if mask is None:
        loss, ds, dtau = _methods.with_gradients(_methods.WHOLE[name], s, t, tau, **options)
        return Rows(loss / len(s) * one, ds, dtau), one
    at, = torch.nonzero(mask, as_tuple=True)
    rows = Rows(torch.zeros_like(tau), torch.zeros_like(s), torch.zeros_like(tau))
    if len(at):
        loss, ds, dtau = _methods.with_gradients(_methods.WHOLE[name], s[at], t[at], tau[at], **options)
        rows = Rows(loss / len(s) * one, rows.ds.index_copy(0, at, ds), rows.dtau.index_copy(0, at, dtau))
    return rows, one


def evaluate(s: Tensor, t: Tensor, labels: Optional[Tensor], soft: Optional[Tensor], mask: Optional[Tensor],
             weights: Optional[Tensor], theta: Tensor, moves: Tensor, text: str, epoch: int,
             grads: bool) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
    """As _library_kernel.evaluate."""
    settings = settings_of(text)
    (n, k), double = s.shape, torch.float64
    here = {"dtype": double, "device": s.device}
    counted = torch.ones(n, dtype=torch.bool, device=s.device) if mask is None else mask != 0
    labelled = counted if labels is None else counted & (labels != settings["ignored_label"])
    s, t = (x.to(double).masked_fill(~counted[:, None], 0) for x in (s, t))
    s = s.masked_fill(_out_of_range(k, labels, soft, weights, counted, labelled)[:, None], math.nan)
    hot = None
    if labels is not None:
        hot = torch.arange(k, device=s.device) == torch.where(labelled, labels, 0)[:, None]
    w = torch.ones(n, **here) if weights is None else weights.to(double)
    over_counted = w * counted / counted.sum().clamp(min=1)
    over_labelled = w * labelled / labelled.sum().clamp(min=1)

    kind, low, span = settings["temperature.kind"], settings["temperature.tau_min"], settings["temperature.tau_span"]
    x = h = net = raw = None
    if kind == "fixed":
        tau = torch.full((n,), settings["temperature.tau"], **here)
    elif kind == "global":
        raw = theta.to(double).expand(n)
    else:
        net = _network(theta.to(double), k, settings["temperature.hidden"] or k)
        halves = (t, s) if settings["temperature.from_logits"] else (torch.softmax(t, 1), torch.softmax(s, 1))
        x = torch.cat(halves, 1)
        h = torch.relu(x @ net.w1.T + net.b1)
        raw = h @ net.w2 + net.b2
    if raw is not None:
        tau = low + span * torch.sigmoid(raw)

    ds, dtau = torch.zeros_like(s), torch.zeros(n, **here)
    parts = []
    y = soft.to(double) if soft is not None else hot.to(double) if hot is not None else None
    if y is None and settings["ce_weight"]:
        raise c.InvalidArgument("target: found none, expected labels or soft labels")
    if y is None:
        parts.append(torch.zeros((), **here))
    else:
        chosen = over_counted if hot is None else over_labelled
        rows, slope = _cross_entropy(s, y)
        parts.append((chosen * rows).sum())
        ds += settings["ce_weight"] * chosen[:, None] * slope
    terms = [(settings["kd_weight"], kd(s, t, tau, settings["kd_form"]), over_counted)]
    if settings["method"]:
        terms.append((settings["method_weight"], *_method(settings, s, t, tau, hot, mask, weights, over_counted, over_labelled)))
    for weight, term, chosen in terms:
        parts.append((chosen * term.loss).sum())
        ds += weight * chosen[:, None] * term.ds
        dtau += weight * chosen * term.dtau
    if len(parts) == 2:
        parts.append(torch.zeros((), **here))
    loss = sum(weight * part for weight, part in
               zip((settings["ce_weight"], settings["kd_weight"], settings["method_weight"]), parts))

    strength = _strength(settings, epoch, moves)
    gradient, dtheta = torch.zeros((), **here), theta.new_zeros(theta.shape, dtype=torch.float32)
    if raw is not None:
        each = dtau * span * torch.sigmoid(raw) * torch.sigmoid(-raw)
        gradient, each = each.sum(), -strength * each
        if net is None:
            dtheta = each.sum().reshape(1)
        else:
            dh = each[:, None] * net.w2 * (h > 0)
            dtheta = torch.cat([(dh.T @ x).reshape(-1), dh.sum(0), each @ h, each.sum().reshape(1)])
            if settings["temperature.through"]:
                dx, q = (dh @ net.w1)[:, k:], x[:, k:]
                ds += dx if settings["temperature.from_logits"] else q * (dx - (q * dx).sum(1, keepdim=True))
    report_tau = _describe(tau, counted) if net is not None and mask is not None else (tau.mean(), tau.min(), tau.max())
    report = torch.stack([loss, *parts, *report_tau, torch.as_tensor(strength, **here), gradient])
    if not grads:
        ds, dtheta = s.new_empty(0), s.new_empty(0)
    return loss.float(), ds.float(), dtheta.float(), report.float()
