"""The evaluation as an operator of PyTorch: differentiable once, and without a graph break under torch.compile."""
from __future__ import annotations

import weakref
from typing import Any, Optional, Tuple

import torch
from torch import Tensor

from .. import _library as c
from . import _formulas, _library_kernel
from ._settings import settings_of

modules: "weakref.WeakValueDictionary[int, Any]" = weakref.WeakValueDictionary()
"""Criteria whose temperature moves in the backward pass, by their handle; 0 is none."""

_TWICE = ("CTKDLoss gives first derivatives only: backward through its gradient (create_graph=True, a gradient penalty) "
          "is not supported")


def run(s: Tensor, t: Tensor, labels: Optional[Tensor], soft: Optional[Tensor], mask: Optional[Tensor],
        weights: Optional[Tensor], theta: Tensor, moves: Tensor, text: str, epoch: int,
        grads: bool) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
    settings = settings_of(text)
    if s.numel() == 0:
        raise c.InvalidArgument(f"student logits: found shape {list(s.shape)}, expected at least one sample and one class")
    if epoch < 1 and not settings["curriculum_steps"]:
        raise c.InvalidArgument(f"epoch: found {epoch}, expected a number counted from 1")
    target = soft if labels is None else labels
    for name, x in (("theta", theta), ("teacher logits", t), ("target", target), ("mask", mask), ("weights", weights)):
        if x is not None and x.device != s.device:
            raise ValueError(f"{name}: found on {x.device}, expected on {s.device}, where the student's logits are")
    kernel = _library_kernel if s.is_cpu and settings.backend != "torch" else _formulas
    return kernel.evaluate(s, t, labels, soft, mask, weights, theta, moves, text, epoch, grads)


def pull(g: Tensor, ds: Tensor, dtheta: Tensor, handle: int) -> Tuple[Tensor, Tensor]:
    """Multiplies the gradients by the incoming gradient g. Theta of the criterion `handle` moves by dtheta without g."""
    move(g, dtheta, handle)
    return g * ds, g * dtheta


def move(g: Tensor, dtheta: Tensor, handle: int) -> None:
    module = modules.get(handle) if handle else None
    if module is not None:
        with module._moving:
            module._move(g, dtheta)


class Eager(torch.autograd.Function):
    """An evaluation without the operator's overhead, outside torch.compile. others: t, labels, soft, mask, weights, of which
    none gets a gradient; report: a list to which the numbers of REPORT are appended."""

    @staticmethod
    def forward(ctx, s, theta, others, moves, text, epoch, handle, report):  # type: ignore
        loss, ctx.ds, ctx.dtheta, numbers = run(s, *others, theta, moves, text, epoch, True)
        report.append(numbers)
        ctx.dtype, ctx.handle = s.dtype, handle
        ctx.save_for_backward(s if s.requires_grad else theta)
        return loss

    @staticmethod
    def backward(ctx, g):  # type: ignore
        for_s, for_theta = ctx.needs_input_grad[:2]
        if torch.is_grad_enabled():
            ds, dtheta = Pull.apply(ctx.saved_tensors[0], g, ctx.ds, ctx.dtheta, ctx.handle)
        else:
            move(g, ctx.dtheta, ctx.handle)
            ds, dtheta = g * ctx.ds if for_s else None, g * ctx.dtheta if for_theta else None
        if for_s and ds.dtype != ctx.dtype:
            ds = ds.to(ctx.dtype)
        return (ds if for_s else None, dtheta if for_theta else None) + (None,) * 6


class Pull(torch.autograd.Function):
    """`pull` in a graph that is kept for second derivatives, to refuse them when they are asked for: they would depend on
    `source`, and without it they would silently be 0."""

    @staticmethod
    def forward(ctx, source, g, ds, dtheta, handle):  # type: ignore
        return pull(g, ds, dtheta, handle)

    @staticmethod
    def backward(ctx, *_):  # type: ignore
        raise RuntimeError(_TWICE)


@torch.library.custom_op("ctkd::evaluate", mutates_args=())
def evaluate(s: Tensor, theta: Tensor, t: Tensor, labels: Optional[Tensor], soft: Optional[Tensor],
             mask: Optional[Tensor], weights: Optional[Tensor], moves: Tensor, text: str, epoch: int, grads: bool,
             handle: int) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
    return run(s, t, labels, soft, mask, weights, theta, moves, text, epoch, grads)


@evaluate.register_fake
def _(s, theta, t, labels, soft, mask, weights, moves, text, epoch, grads, handle):  # type: ignore
    def new(shape):  # type: ignore
        return s.new_empty(shape, dtype=torch.float32)

    return new(()), new(s.shape if grads else (0,)), new(theta.shape if grads else (0,)), new((len(_library_kernel.REPORT),))


# It tells the compiler that nothing is mutated: what it moves is not an input of the graph's backward part, and its
# results are used, so that it is called once for each backward pass.
@torch.library.custom_op("ctkd::pull", mutates_args=())
def _pull(source: Tensor, g: Tensor, ds: Tensor, dtheta: Tensor, handle: int) -> Tuple[Tensor, Tensor]:
    return pull(g, ds, dtheta, handle)


@_pull.register_fake
def _(source, g, ds, dtheta, handle):  # type: ignore
    return torch.empty_like(ds), torch.empty_like(dtheta)


def _refuse(ctx, *_):  # type: ignore
    raise RuntimeError(_TWICE)


_pull.register_autograd(_refuse)


def _setup(ctx, inputs, output):  # type: ignore
    s, theta = inputs[:2]
    ctx.save_for_backward(s if s.requires_grad else theta, output[1], output[2])
    ctx.dtype, ctx.handle = inputs[0].dtype, inputs[-1]


def _backward(ctx, g, *_):  # type: ignore
    source, ds, dtheta = ctx.saved_tensors
    ds, dtheta = _pull(source, g, ds, dtheta, ctx.handle)
    needs = ctx.needs_input_grad
    return (ds.to(ctx.dtype) if needs[0] else None, dtheta if needs[1] else None) + (None,) * 10


evaluate.register_autograd(_backward, setup_context=_setup)
