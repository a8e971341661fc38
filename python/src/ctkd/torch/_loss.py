"""The criterion CTKDLoss."""
from __future__ import annotations

import ctypes
import itertools
import math
import threading
from functools import lru_cache
from typing import Any, Dict, List, Optional, Union

import torch
import torch.distributed as dist
from torch import Tensor, nn

from .._losses import methods
from .._plugin import Plugin
from . import _ops
from ._library_kernel import REPORT
from ._settings import settings_of, text_of

_handles = itertools.count(1)


@lru_cache(maxsize=64)
def _f32(x: float) -> float:
    """A setting rounded to float32, as the library holds it."""
    return ctypes.c_float(x).value


class CTKDLoss(nn.Module):
    """
    L = ce_weight CE(s, y) + kd_weight KD(s, t, tau) + method_weight L_method(s, t, y, tau), a scalar that backpropagates
    into the student's logits, with tau = tau_min + tau_span sigmoid(theta) learned against the student: theta's gradient
    is reversed, with a strength lambda that grows over the curriculum (Li et al. 2023).

    temperature: "global" (one theta), "instance" (one per sample, from a small network; needs `classes`), or a number.
    train_temperature: "self": theta moves by SGD with learning_rate, momentum, weight_decay in each `accumulate`-th
    backward pass in training mode, by the mean over these passes and over the ranks of torch.distributed; the scale of a
    loss has no effect. "optimizer": theta is a parameter whose gradient is already reversed; your optimiser moves it.
    curriculum: "cosine", "linear", "linear_official", "none", over curriculum_epochs or
    curriculum_steps (of `accumulate` backward passes each).
    method: a further loss of ctkd.methods(), by default with the weight of its source; method_options are its options.
    temperature_options: hidden, from_logits, through, set_bias, bias_init, seed (ctkd.options(), "temperature.").
    backend: "auto": libctkd for tensors on the CPU, else operations of PyTorch; "torch": these everywhere.
    """

    def __init__(self, temperature: Union[str, float] = "global", *, train_temperature: str = "self",
                 classes: Optional[int] = None, ce_weight: float = 0.1, kd_weight: float = 0.9, kd_form: str = "exact",
                 method: Optional[str] = None, method_weight: Optional[float] = None,
                 method_options: Optional[Dict[str, Any]] = None, curriculum: str = "cosine", curriculum_epochs: int = 10,
                 curriculum_steps: int = 0, lambda_min: float = 0.0, lambda_max: float = 1.0, tau_min: float = 1.0,
                 tau_span: float = 20.0, theta_init: float = 1.0, learning_rate: float = 0.05, momentum: float = 0.9,
                 weight_decay: float = 5e-4, accumulate: int = 1, ignored_label: int = -100,
                 temperature_options: Optional[Dict[str, Any]] = None, backend: str = "auto",
                 process_group: Optional[Any] = None) -> None:
        super().__init__()
        kind = temperature if isinstance(temperature, str) else "fixed"
        if kind not in ("global", "instance", "fixed") or temperature == "fixed":
            raise ValueError(f'temperature: found "{temperature}", expected "global", "instance" or a number')
        if train_temperature not in ("self", "optimizer"):
            raise ValueError(f'train_temperature: found "{train_temperature}", expected "self" or "optimizer"')
        if backend not in ("auto", "torch"):
            raise ValueError(f'backend: found "{backend}", expected "auto" or "torch"')
        if accumulate < 1:
            raise ValueError(f"accumulate: found {accumulate}, expected 1 or more")
        if kind == "instance" and classes is None:
            raise ValueError('classes: found None, expected their number, because temperature="instance" needs it')
        if method and method_weight is None:
            method_weight = {entry.name: entry.weight for entry in methods()}.get(method, 1.0)
        settings: Dict[str, Any] = {
            "ce_weight": ce_weight, "kd_weight": kd_weight, "kd_form": kd_form, "method": method or "",
            "method_weight": method_weight or 0.0, "temperature.kind": kind, "temperature.tau_min": tau_min,
            "temperature.tau_span": tau_span, "temperature.theta_init": theta_init, "curriculum": curriculum,
            "curriculum_epochs": curriculum_epochs, "curriculum_steps": curriculum_steps, "lambda_min": lambda_min,
            "lambda_max": lambda_max, "ignored_label": ignored_label, "learning_rate": learning_rate,
            "momentum": momentum, "weight_decay": weight_decay,
            **{f"temperature.{name}": value for name, value in (temperature_options or {}).items()},
        }
        if kind == "fixed":
            settings["temperature.tau"] = float(temperature)
        # The library checks the settings, with its own messages, and gives theta's initial values.
        start = Plugin(1, max(classes or 3, 3) if kind != "instance" else int(classes or 0),
                       method_options=method_options, **settings).theta
        self.temperature, self.train_temperature, self.classes = kind, train_temperature, classes
        self.accumulate, self.process_group = accumulate, process_group
        self.learning_rate, self.momentum, self.weight_decay = learning_rate, momentum, weight_decay
        for moved in ("learning_rate", "momentum", "weight_decay"):  # only used here: an evaluation does not need them
            del settings[moved]
        self._text = text_of(settings, method_options or {}, backend)
        self._needs_epoch = kind != "fixed" and curriculum_steps == 0 and curriculum_epochs > 0
        theta = torch.from_numpy(start)
        if train_temperature == "optimizer":
            self.theta = nn.Parameter(theta, requires_grad=kind != "fixed")
        else:
            self.register_buffer("theta", theta)
            self.register_buffer("velocity", torch.zeros_like(theta))
            self.register_buffer("pending", torch.zeros_like(theta))
        self.register_buffer("moves", torch.zeros((), dtype=torch.int64))
        self._waiting = 0
        self._epoch: Optional[int] = None
        self._last: Optional[Tensor] = None
        self._register()

    def _register(self) -> None:
        self._moving = threading.Lock()  # backward passes may run in several threads
        self._handle = 0
        if self.temperature != "fixed":
            self._handle = next(_handles)
            _ops.modules[self._handle] = self

    def __getstate__(self) -> Dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_moving"}

    def __setstate__(self, state: Dict[str, Any]) -> None:  # a copy moves its own theta
        super().__setstate__(state)
        self._register()

    def set_epoch(self, epoch: int) -> None:
        """The epoch, from 1, of calls without `epoch=`: for loops that call a criterion with arguments of their own."""
        self._epoch = epoch

    def forward(self, student_logits: Tensor, teacher_logits: Tensor, target: Optional[Tensor] = None, *,
                epoch: Optional[int] = None, mask: Optional[Tensor] = None, weights: Optional[Tensor] = None) -> Tensor:
        """
        student_logits, teacher_logits: [n, k]. target: labels [n], or soft labels [n, k] of a floating type. epoch counts
        from 1; needed in training while the curriculum is in epochs. mask [n]: 0 leaves a sample out. weights [n]: one
        per sample.
        """
        for name, x in (("student_logits", student_logits), ("teacher_logits", teacher_logits), ("target", target),
                        ("mask", mask), ("weights", weights)):
            if x is not None and not isinstance(x, Tensor):
                raise TypeError(f"{name}: found {type(x).__name__}, expected a tensor")
        shape = student_logits.shape
        if len(shape) != 2 or shape != teacher_logits.shape:
            raise ValueError(f"found student logits of shape {list(shape)} and teacher logits of shape "
                             f"{list(teacher_logits.shape)}, expected [n, k] for both")
        if epoch is None:
            epoch = self._epoch
        if epoch is None:
            if self.training and self._needs_epoch:
                raise TypeError("epoch: found None, expected a number counted from 1, because the curriculum is in "
                                "epochs; call set_epoch before each epoch, or set curriculum_steps to count steps")
            epoch = 1
        labels = soft = None
        if target is not None:
            labels, soft = (None, target) if target.is_floating_point() else (target, None)
            expected = shape if labels is None else shape[:1]
            if target.shape != expected:
                raise ValueError(f"target: found shape {list(target.shape)}, expected {list(expected)}")
        for name, x in (("mask", mask), ("weights", weights)):
            if x is not None and x.shape != shape[:1]:
                raise ValueError(f"{name}: found shape {list(x.shape)}, expected {list(shape[:1])}")
        # Module.__getattr__, which finds their attributes, takes ten times as long.
        moves = self._buffers["moves"]
        theta = (self._parameters if self.train_temperature == "optimizer" else self._buffers)["theta"]
        grads = torch.is_grad_enabled() and (student_logits.requires_grad or theta.requires_grad)
        handle = self._handle if self.training else 0
        if torch.compiler.is_compiling():
            loss, _, _, numbers = torch.ops.ctkd.evaluate(student_logits, theta, teacher_logits, labels, soft, mask, weights,
                                                          moves, self._text, epoch, grads, handle)
            self._last = numbers.detach()
            return loss
        others = (teacher_logits, labels, soft, mask, weights)
        if grads:
            report: List[Tensor] = []
            loss = _ops.Eager.apply(student_logits, theta, others, moves, self._text, epoch, handle, report)
            self._last = report[0]
            return loss
        with torch.no_grad():
            loss, _, _, self._last = _ops.run(student_logits, *others, theta, moves, self._text, epoch, False)
        return loss

    def _move(self, g: Tensor, dtheta: Tensor) -> None:
        """A backward pass: theta's SGD on the mean over `accumulate` of them and over the ranks. Passes whose gradient is
        not finite, which a GradScaler skips, move theta on no rank."""
        self._waiting += 1
        if self.train_temperature == "optimizer":  # moves theta; only the curriculum's steps are counted here
            self.moves += self._waiting >= self.accumulate
            self._waiting %= self.accumulate
            return
        if dtheta.is_cpu:
            if not math.isfinite(g.item()):
                dtheta = torch.full_like(dtheta, math.nan)
        else:
            dtheta = torch.where(torch.isfinite(g), dtheta, math.nan)
        ranks = 1
        if dist.is_available() and dist.is_initialized():  # each pass: DistributedDataParallel copies rank 0's buffers
            dtheta = dtheta.clone()
            dist.all_reduce(dtheta, group=self.process_group)
            ranks = dist.get_world_size(self.process_group)
        if self.accumulate > 1:
            self.pending.add_(dtheta)
            if self._waiting < self.accumulate:
                return
            dtheta = self.pending.clone()
            self.pending.zero_()
        parts, self._waiting = ranks * self._waiting, 0
        self._descend(dtheta, 1.0 / parts)

    def _descend(self, dtheta: Tensor, share: float) -> None:
        """SGD in double, as the library does it, unless theta would not be finite; on the CPU one theta without tensors."""
        theta, velocity, moves = (self._buffers[name] for name in ("theta", "velocity", "moves"))
        one, scale, decay = dtheta.is_cpu and dtheta.numel() == 1, _f32(share), _f32(self.weight_decay)
        old, speed, slope = ((x.item() for x in (theta, velocity, dtheta)) if one else
                             (x.double() for x in (theta, velocity, dtheta)))
        new_speed = _f32(self.momentum) * speed + (scale * slope + decay * old)
        moved = old - _f32(self.learning_rate) * new_speed
        if one:
            if all(math.isfinite(ctypes.c_float(x).value) for x in (moved, new_speed)):
                theta.fill_(moved)
                velocity.fill_(new_speed)
                moves.fill_(moves.item() + 1)  # faster than add_
            return
        finite = torch.isfinite(torch.cat([moved.float(), new_speed.float()])).all()
        theta.copy_(torch.where(finite, moved, old))
        velocity.copy_(torch.where(finite, new_speed, speed))
        moves.add_(finite)

    def get_extra_state(self) -> Tensor:
        return torch.tensor(self._waiting)

    def set_extra_state(self, state: Tensor) -> None:
        self._waiting = int(state)

    def _apply(self, fn: Any, recurse: bool = True) -> "CTKDLoss":
        kept = {name: getattr(self, name).detach().clone() for name in ("theta", "velocity", "pending")
                if hasattr(self, name)}
        super()._apply(fn, recurse)
        for name, value in kept.items():  # half() and double() of a model must leave theta in float32
            tensor = getattr(self, name)
            if tensor.dtype != torch.float32:
                tensor.data = value.to(tensor.device)
        return self

    @property
    def report(self) -> Dict[str, float]:
        """The last batch: loss and its unweighted parts, tau_mean, tau_min, tau_max, lambda, theta_gradient."""
        if self._last is None:
            raise RuntimeError("there is no report before the first batch")
        return dict(zip(REPORT, self._last.tolist()))

    @property
    def tau(self) -> float:
        """The current temperature; with one per sample, its mean over the last batch."""
        settings = settings_of(self._text)
        if self.temperature == "fixed":
            return settings["temperature.tau"]
        if self.temperature == "instance":
            return self.report["tau_mean"]
        theta = float(self.theta)
        return settings["temperature.tau_min"] + settings["temperature.tau_span"] / (1 + math.exp(-theta))

    def extra_repr(self) -> str:
        given = settings_of(self._text).given
        return ", ".join([f'temperature="{self.temperature}"', f'train_temperature="{self.train_temperature}"',
                          f"ce_weight={given['ce_weight']}", f"kd_weight={given['kd_weight']}",
                          *([f'method="{given["method"]}"'] if given["method"] else [])])
