"""mdistiller: a Distiller. In `tools/train.py`, before `main`:

    distiller_dict["CTKD"] = CTKD
    cfg.CTKD = CN(new_allowed=True)  # settings of CTKDLoss in capitals, in the YAML file: CTKD: {CE_WEIGHT: 0.1, METHOD: dkd}

and `DISTILLER: {TYPE: "CTKD"}` in the file. Its networks give (logits, features); its trainer passes the epoch, from 1.
"""
from __future__ import annotations

from typing import Any, Dict, List, Optional, Tuple

import torch
from torch import Tensor, nn

from .._loss import CTKDLoss


class CTKD(nn.Module):
    """Has the interface of mdistiller's Distiller, without importing it. For one GPU: nn.DataParallel on several would move the
    temperature once for each. The trainer's checkpoints hold the temperature; the exported student does not."""

    def __init__(self, student: nn.Module, teacher: nn.Module, cfg: Optional[Dict[str, Any]] = None, **settings: Any) -> None:
        super().__init__()
        given = {name.lower(): value for name, value in (cfg or {}).get("CTKD", {}).items()}
        self.student, self.teacher = student, teacher
        self.criterion = CTKDLoss(**{**given, **settings})

    def train(self, mode: bool = True) -> "CTKD":
        super().train(mode)
        self.teacher.eval()
        return self

    def get_learnable_parameters(self) -> List[nn.Parameter]:
        return [*self.student.parameters(), *self.criterion.parameters()]

    def get_extra_parameters(self) -> int:
        return self.criterion.theta.numel()

    def forward_train(self, image: Tensor, target: Tensor, epoch: int, **_: Any) -> Tuple[Tensor, Dict[str, Tensor]]:
        logits, _features = self.student(image)
        with torch.no_grad():
            teacher_logits, _features = self.teacher(image)
        return logits, {"loss_ctkd": self.criterion(logits, teacher_logits, target, epoch=epoch)}

    def forward_test(self, image: Tensor) -> Tensor:
        return self.student(image)[0]

    def forward(self, **batch: Any) -> Any:
        return self.forward_train(**batch) if self.training else self.forward_test(batch["image"])
