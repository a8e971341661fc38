"""The registry's losses on logits, by name."""
from __future__ import annotations

import ctypes
from typing import Any, Dict, List, NamedTuple, Optional, Union

import numpy as np

from . import _library as c
from ._arrays import F32, logits, pointer, vector

_MORE_THAN_LOGITS = c.NEEDS_MAPS | c.NEEDS_IDS | c.NEEDS_HEAD


class Loss(NamedTuple):
    """A loss and its gradients."""

    value: float
    """Mean over the batch, in nats per sample."""
    ds: np.ndarray
    """dL/d(student logits), [n, k], float32."""
    dt: Optional[np.ndarray]
    """dL/d(teacher logits), [n, k]; None where there is no teacher."""
    dtau: Union[float, np.ndarray, None]
    """dL/dtau, not reversed: a number, or [n] for a temperature per sample; None if tau does not enter."""


class Method(NamedTuple):
    """An entry of the registry."""

    name: str
    title: str
    formula: str
    source: str
    weight: float
    """The weight that the source gives to this loss."""
    needs_labels: bool
    needs_tau: bool
    options: Dict[str, Dict[str, Any]]


def methods() -> List[Method]:
    """Every loss that reads logits and labels alone, for `loss` and `Plugin(method=...)`."""
    found, table, i = [], c.lib.ctkd_loss_list(), 0
    while table[i]:
        entry = table[i].contents
        if not entry.needs & _MORE_THAN_LOGITS:
            found.append(Method(entry.name.decode(), entry.title.decode(), entry.formula.decode(),
                                entry.source.decode(), entry.weight, bool(entry.needs & c.NEEDS_LABELS),
                                bool(entry.needs & c.NEEDS_TAU), c.describe(entry.options)))
        i += 1
    return found


def _find(name: str) -> Any:
    found = c.lib.ctkd_loss_find(name.encode())
    if not found:
        raise c.NotFound(f'unknown loss "{name}", expected one of {", ".join(m.name for m in methods())}')
    if found.contents.needs & _MORE_THAN_LOGITS:
        raise c.InvalidArgument(f"{name} reads more than logits and labels, expected one of "
                                f"{', '.join(m.name for m in methods())}")
    return found


def _floats(array: np.ndarray, kind: int) -> np.ndarray:
    if kind == F32:
        return array
    out = np.empty(array.shape, np.float32)
    c.check(c.lib.ctkd_logits_read(array.size, kind, array.ctypes.data, out.ctypes.data))
    return out


def _config(definition: Any, options: Dict[str, Any]) -> Any:
    table, config = definition.contents.options, ctypes.create_string_buffer(definition.contents.config_size + 16)
    if table:
        c.lib.ctkd_options_defaults(table, config)
    for key, value in options.items():
        error = c.CError()
        c.check(c.lib.ctkd_option_set_text(table, config, key.encode(), c.text_of(value), error), error)
    return config


def loss(method: str, s: Any, t: Any, tau: Any = 4.0, labels: Any = None, **options: Any) -> Loss:
    """
    Evaluates a loss of the registry.

    s, t: student and teacher logits [n, k]; anything with the buffer protocol or DLPack on the CPU.
    tau: one temperature > 0, or [n]; methods without a temperature do not read it.
    labels: [n] whole numbers in 0..k-1, for methods that need them.
    options: options of the method, which `methods()` lists.
    """
    definition = _find(method)
    needs = definition.contents.needs
    student, s_kind = logits(s, "student logits")
    teacher, t_kind = logits(t, "teacher logits", student)
    student, teacher = _floats(student, s_kind), _floats(teacher, t_kind)
    n, k = student.shape
    for name, array in (("student", student), ("teacher", teacher)):
        if not np.isfinite(array).all():
            raise c.NotFinite(f"{name} logits: a value is not finite")
    if k < definition.contents.classes_min:
        raise c.InvalidArgument(f"{method}: found {k} classes, expected {definition.contents.classes_min} or more")
    taus = np.atleast_1d(np.ascontiguousarray(tau, dtype=np.float32))
    if taus.shape not in ((1,), (n,)) or not (np.isfinite(taus) & (taus > 0)).all():
        raise c.InvalidArgument(f"tau: expected one temperature or {n}, each positive and finite")
    wants_labels = bool(needs & c.NEEDS_LABELS)
    if wants_labels and labels is None:
        raise c.InvalidArgument(f"labels: found none, expected some, because {method} needs labels")
    y = _labels(labels, n, k) if labels is not None else None
    config = _config(definition, options)
    shape = c.LossShape(size=ctypes.sizeof(c.LossShape), n=n, k=k)
    values = ctypes.c_size_t()
    c.check(c.lib.ctkd_loss_workspace(definition, config, shape, values), what=method)
    workspace = np.empty(values.value, np.float64) if values.value else None
    value, ds, dt = ctypes.c_float(), np.zeros((n, k), np.float32), np.zeros((n, k), np.float32)
    dtau = np.zeros(taus.size, np.float32) if needs & c.NEEDS_TAU else None
    args = c.LossArgs(size=ctypes.sizeof(c.LossArgs), n=n, k=k, s=pointer(student), t=pointer(teacher),
                      labels=pointer(y), tau=pointer(taus), n_tau=taus.size,
                      loss=ctypes.addressof(value), ds=pointer(ds), dt=pointer(dt), dtau=pointer(dtau),
                      workspace=pointer(workspace))
    c.check(definition.contents.eval(ctypes.addressof(config), args), what=method)
    one = np.ndim(tau) == 0
    return Loss(value.value, ds, dt, None if dtau is None else float(dtau[0]) if one else dtau)


def _labels(labels: Any, n: int, k: int) -> np.ndarray:
    wide = vector(labels, n, np.int64, "labels")
    if n and (wide.min() < 0 or wide.max() >= k):
        wrong = int(wide[(wide < 0) | (wide >= k)][0])
        raise c.InvalidArgument(f"labels: found {wrong}, expected 0 to {k - 1}")
    return wide.astype(np.int32)


def kd(s: Any, t: Any, tau: Any = 4.0, *, form: str = "exact") -> Loss:
    """Softened KL divergence: 1/n sum_i tau_i^2 KL(softmax(t_i/tau_i) || softmax(s_i/tau_i)) (Hinton et al. 2015)."""
    return loss("kd", s, t, tau, form=form)


def dkd(s: Any, t: Any, labels: Any, tau: Any = 4.0, *, alpha: float = 1.0, beta: float = 8.0) -> Loss:
    """Decoupled knowledge distillation: 1/n sum_i tau_i^2 (alpha TCKD_i + beta NCKD_i) (Zhao et al. 2022)."""
    return loss("dkd", s, t, tau, labels, alpha=alpha, beta=beta)


def cross_entropy(s: Any, labels: Any) -> Loss:
    """Cross-entropy, batch mean; labels are [n] whole numbers or soft labels [n, k]."""
    student, kind = logits(s, "student logits")
    student = _floats(student, kind)
    n, k = student.shape
    value, ds = ctypes.c_float(), np.zeros((n, k), np.float32)
    if np.ndim(labels) == 2 or getattr(labels, "ndim", 1) == 2:
        y, kind = logits(labels, "labels", student)
        y, function = _floats(y, kind), c.lib.ctkd_cross_entropy_soft
    else:
        y, function = _labels(labels, n, k), c.lib.ctkd_cross_entropy
    c.check(function(n, k, pointer(student), pointer(y), ctypes.addressof(value), pointer(ds)), what="cross-entropy")
    return Loss(value.value, ds, None, None)
