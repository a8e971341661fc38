"""torchdistill: a mid-level loss, `CTKDLoss` in a configuration once this module is imported (`dependencies:`).

    pre_epoch_process: ctkd_pre_epoch_process  # tells the curriculum its epoch; or curriculum_steps among kwargs
    criterion:
      key: WeightedSumLoss
      kwargs:
        sub_terms:
          ctkd:
            criterion: {key: CTKDLoss, kwargs: {student_module_path: fc, student_module_io: output,
                                                teacher_module_path: fc, teacher_module_io: output, ce_weight: 0.1}}
            weight: 1.0
"""
from __future__ import annotations

from typing import Any, Dict, Optional

from torch import Tensor
from torchdistill.core.interfaces.pre_epoch_proc import default_pre_epoch_process_with_teacher
from torchdistill.core.interfaces.registry import register_pre_epoch_proc_func
from torchdistill.losses.registry import register_mid_level_loss

from .. import _loss


@register_mid_level_loss
class CTKDLoss(_loss.CTKDLoss):
    """ctkd.torch.CTKDLoss of the outputs (or inputs) of a module of each network. torchdistill saves no losses: to resume, keep
    `box.criterion.term_dict["ctkd"][0].state_dict()` too. With `grad_accum_step` give the same `accumulate`."""

    def __init__(self, student_module_path: str, student_module_io: str, teacher_module_path: str, teacher_module_io: str,
                 **settings: Any) -> None:
        super().__init__(**settings)
        self.student_at, self.teacher_at = (student_module_path, student_module_io), (teacher_module_path, teacher_module_io)

    def forward(self, student_io_dict: Dict[str, Any], teacher_io_dict: Dict[str, Any],  # type: ignore[override]
                targets: Optional[Tensor] = None, *_: Any, **__: Any) -> Tensor:
        (path, io), (teacher_path, teacher_io) = self.student_at, self.teacher_at
        logits = student_io_dict[path][io]
        if logits.device != self.theta.device:  # a WeightedSumLoss does not move its terms
            self.to(logits.device)
        return super().forward(logits, teacher_io_dict[teacher_path][teacher_io], targets)


@register_pre_epoch_proc_func
def ctkd_pre_epoch_process(self: Any, epoch: int, **kwargs: Any) -> None:
    """torchdistill's own, and the epoch for each CTKDLoss; `self` is the DistillationBox, whose epochs count from 0."""
    default_pre_epoch_process_with_teacher(self, epoch=epoch, **kwargs)
    for criterion, _ in self.criterion.term_dict.values():
        if isinstance(criterion, CTKDLoss):
            criterion.set_epoch(epoch + 1)
