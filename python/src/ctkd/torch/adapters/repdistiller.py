"""RepDistiller's loop, and CTKD's published one, which comes from it: `criterion_div`, their term of KL divergence.

    criterion_div = CTKDCriterion(kd_weight=opt.alpha)  # in place of DistillKL(opt.kd_T)
    opt.alpha = 1

and `criterion_div.set_epoch(epoch)` before each `train(...)`; or `curriculum_steps=10 * len(train_loader)` instead of it. The
weight belongs here because it is a factor of the temperature's gradient, as published. In CTKD's own loop leave
`--have_mlp` at 0.
"""
from __future__ import annotations

from typing import Any, Optional

from torch import Tensor

from .._loss import CTKDLoss


class CTKDCriterion(CTKDLoss):
    """KD under a learned temperature. It has no cross-entropy, which is the loop's `criterion_cls`. Settings are those of
    CTKDLoss; methods that read labels are not for this loop."""

    def __init__(self, temperature: Any = "global", *, ce_weight: float = 0.0, kd_weight: float = 0.9, **settings: Any) -> None:
        super().__init__(temperature, ce_weight=ce_weight, kd_weight=kd_weight, **settings)

    def forward(self, y_s: Tensor, y_t: Tensor, temp: Optional[Tensor] = None) -> Tensor:  # type: ignore[override]
        """y_s, y_t: logits [n, k] of student and teacher. temp: passed by CTKD's loop, ignored."""
        return super().forward(y_s, y_t)
