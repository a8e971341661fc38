"""An evaluation of tensors on the CPU by libctkd, without copies of float32, float16 and bfloat16 logits."""
from __future__ import annotations

import ctypes
import threading
from typing import Dict, Optional, Tuple

import torch
from torch import Tensor

from .. import _library as c
from .._plugin import create
from ._settings import settings_of

TYPES = {torch.float32: 0, torch.float16: 1, torch.bfloat16: 2}
REPORT = ("loss", "loss_ce", "loss_kd", "loss_method", "tau_mean", "tau_min", "tau_max", "lambda", "theta_gradient")


class _Evaluator:
    """A plugin whose theta is not kept but set for each batch. A larger batch creates the plugin anew."""

    def __init__(self, text: str, k: int) -> None:
        self.settings, self.k, self.n_max = settings_of(text), k, 0
        self.handle: Optional[ctypes.c_void_p] = None
        self.lock = threading.Lock()
        self.error, self.batch = c.CError(), c.Batch()
        self.batch.size = ctypes.sizeof(c.Batch)
        self.report = c.Report()
        self.report_at = ctypes.addressof(self.report)
        self.by_steps = self.settings["curriculum_steps"] > 0

    def reserve(self, n: int) -> None:
        if n <= self.n_max:
            return
        new = create(n, self.k, self.settings.given, self.settings.method_options)
        if self.handle is not None:
            c.lib.ctkd_plugin_destroy(self.handle)
        self.handle, self.n_max = new, n
        self.count = c.lib.ctkd_plugin_theta_count(new)


_evaluators: Dict[Tuple[str, int], _Evaluator] = {}


def _pointer(x: Optional[Tensor]) -> Optional[int]:
    return None if x is None else x.data_ptr()


def _readable(x: Tensor) -> Tensor:
    return (x if x.dtype in TYPES else x.float()).contiguous()


def evaluate(s: Tensor, t: Tensor, labels: Optional[Tensor], soft: Optional[Tensor], mask: Optional[Tensor],
             weights: Optional[Tensor], theta: Tensor, moves: Tensor, text: str, epoch: int,
             grads: bool) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
    """Loss, dL/ds [n, k], reversed dtheta, and the numbers of REPORT; empty gradients unless `grads`."""
    n, k = s.shape
    evaluator = _evaluators.get((text, k))
    if evaluator is None:
        evaluator = _evaluators.setdefault((text, k), _Evaluator(text, k))
    s, t, theta = _readable(s), _readable(t), theta.float().contiguous()
    labels = None if labels is None else labels.long().contiguous()
    soft = None if soft is None else soft.float().contiguous()
    mask = None if mask is None else (mask != 0).to(torch.uint8).contiguous()
    weights = None if weights is None else weights.float().contiguous()
    here = {"dtype": torch.float32, "device": "cpu"}  # whatever PyTorch's default type and device are
    ds = torch.empty((n, k) if grads else 0, **here)
    dtheta = torch.empty(theta.shape if grads else 0, **here)
    with evaluator.lock:
        evaluator.reserve(n)
        if theta.numel() != evaluator.count:
            raise c.InvalidArgument(f"theta: found {theta.numel()} values, expected {evaluator.count} for {k} classes")
        batch, error, report = evaluator.batch, evaluator.error, evaluator.report
        batch.n, batch.s, batch.t, batch.s_type, batch.t_type = n, s.data_ptr(), t.data_ptr(), TYPES[s.dtype], TYPES[t.dtype]
        batch.labels64, batch.soft_labels = _pointer(labels), _pointer(soft)
        batch.mask, batch.weights = _pointer(mask), _pointer(weights)
        batch.epoch = epoch
        batch.step = int(moves) + 1 if evaluator.by_steps else 0
        if evaluator.count:
            c.check(c.lib.ctkd_plugin_theta_write(evaluator.handle, theta.data_ptr()), what="theta")
        status = c.lib.ctkd_plugin_evaluate(evaluator.handle, batch, ds.data_ptr() if grads else None,
                                            dtheta.data_ptr() if grads and evaluator.count else None,
                                            evaluator.report_at, error)
        if status:
            c.check(status, error)
        numbers = torch.empty(len(REPORT), **here)  # the first members of the struct
        ctypes.memmove(numbers.data_ptr(), evaluator.report_at, 4 * len(REPORT))
        loss = torch.scalar_tensor(report.loss, **here)  # takes half the time of torch.tensor
    return loss, ds, dtheta, numbers
