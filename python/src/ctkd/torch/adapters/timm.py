"""timm: a distillation task (`timm.task`, checked with 1.0.31). In its train.py, in place of LogitDistillationTask:

    task = CTKDTask(model, args.kd_model_name, device=device, dtype=model_dtype, accumulate=args.grad_accum_steps)

and `task.ctkd.set_epoch(epoch + 1)` before each train_one_epoch; or `curriculum_steps=10 * len(loader_train)` instead of it.
Soft labels of mixup and cutmix are read as they are.
"""
from __future__ import annotations

from typing import Any, Dict, Optional

import torch
from timm.task import LogitDistillationTask
from torch import Tensor, nn

from .._loss import CTKDLoss


class CTKDTask(LogitDistillationTask):
    """Cross-entropy and KD under a learned temperature; the teacher (a name or a module), its normalisation, DDP and
    compilation are timm's. `settings` are those of CTKDLoss, here `self.ctkd`. Checkpoints hold the temperature."""

    def __init__(self, student_model: nn.Module, teacher_model: Any, *, teacher_pretrained_path: Optional[str] = None,
                 device: Optional[torch.device] = None, dtype: Optional[torch.dtype] = None, verbose: bool = True,
                 **settings: Any) -> None:
        super().__init__(student_model, teacher_model, criterion=nn.Identity(), device=device, dtype=dtype, verbose=verbose,
                         teacher_pretrained_path=teacher_pretrained_path)
        self.ctkd = CTKDLoss(**settings).to(self.device)

    def forward(self, input: Tensor, target: Tensor) -> Dict[str, Tensor]:
        logits = self.trainable_module(input)
        with torch.no_grad():
            teacher_logits = self.teacher(self.teacher.normalize_input(input, self.student_mean, self.student_std))
        return {"loss": self.ctkd(logits, teacher_logits, target), "output": logits}

    def get_task_state(self, module: Optional[nn.Module] = None, ema: bool = False) -> Dict[str, Any]:
        return {} if ema else {"ctkd": self.ctkd.state_dict()}

    def load_task_state(self, state: Optional[Dict[str, Any]], strict: bool = True, module: Optional[nn.Module] = None,
                        ema: bool = False) -> None:
        if state and not ema:  # a student that was trained without CTKD has no such state
            self.ctkd.load_state_dict(state["ctkd"], strict=strict)
