"""ctkd_plugin: cross-entropy, KD and optionally one more loss under a learned temperature."""
from __future__ import annotations

import ctypes
from typing import Any, Dict, NamedTuple, Optional

import numpy as np

from . import _library as c
from ._arrays import as_numpy, logits, pointer, vector


class Evaluation(NamedTuple):
    """What `Plugin.evaluate` measured."""

    loss: float
    ds: np.ndarray
    """dL/d(student logits), [n, k], float32."""
    dtheta: np.ndarray
    """-lambda dL/dtheta: the already reversed gradient, which an optimiser descends."""
    report: Dict[str, float]
    """loss_ce, loss_kd, loss_method (unweighted), tau_mean, tau_min, tau_max, lambda, theta_gradient (dL/dtheta before
    reversal), counted and labelled (samples)."""


def report_of(report: c.Report) -> Dict[str, float]:
    return {name: getattr(report, name) for name, _ in c.Report._fields_}


def options() -> Dict[str, Dict[str, Any]]:
    """The settings of `Plugin` by name: default, range or choices, help."""
    return c.describe(c.lib.ctkd_plugin_options())


def create(n_max: int, k: int, settings: Dict[str, Any], method_options: Dict[str, Any]) -> ctypes.c_void_p:
    """Creates a ctkd_plugin; the caller destroys it."""
    config, error, handle = ctypes.create_string_buffer(c.CONFIG_BYTES), c.CError(), ctypes.c_void_p()
    c.lib.ctkd_plugin_config_init(config, c.CONFIG_BYTES, ctypes.sizeof(c.Report), n_max, k)
    for name, value in settings.items():
        c.check(c.lib.ctkd_plugin_config_set(config, name.encode(), c.text_of(value), error), error)
    c.check(c.lib.ctkd_plugin_create_checked(config, handle, error), error)
    try:
        for name, value in method_options.items():
            c.check(c.lib.ctkd_plugin_set_method_text(handle, name.encode(), c.text_of(value), error), error)
    except BaseException:
        c.lib.ctkd_plugin_destroy(handle)
        raise
    return handle


class Plugin:
    """
    L = ce_weight CE(s, y) + kd_weight KD(s, t, tau) + method_weight L_method, where tau is a temperature that SGD
    moves along the reversed gradient.

    n_max: largest batch; k: classes. Settings are those of `ctkd.options()` by name; pass one with a dot as
    `**{"temperature.tau_span": 9}`. method_options: options of the method. One thread at a time.
    """

    def __init__(self, n_max: int, k: int, *, method_options: Optional[Dict[str, Any]] = None, **settings: Any) -> None:
        self._handle: Optional[ctypes.c_void_p] = None
        if n_max < 1 or k < 1:
            raise c.InvalidArgument(f"found n_max {n_max} and k {k}, expected 1 or more")
        self.n_max, self.k = n_max, k
        self._settings, self._method_options = settings, dict(method_options or {})
        self._handle = create(n_max, k, settings, self._method_options)
        self._count = c.lib.ctkd_plugin_theta_count(self._handle)

    def __del__(self) -> None:
        if getattr(self, "_handle", None) is not None:
            c.lib.ctkd_plugin_destroy(self._handle)
            self._handle = None

    def __getstate__(self) -> Dict[str, Any]:  # for a copy or a pickle, which gets a plugin of its own
        return {**{name: value for name, value in self.__dict__.items() if name != "_handle"}, "_state": self.state()}

    def __setstate__(self, found: Dict[str, Any]) -> None:
        self._handle = None
        self.__dict__.update((name, value) for name, value in found.items() if name != "_state")
        self._settings = dict(self._settings)
        self._handle = create(self.n_max, self.k, self._settings, self._method_options)
        self.restore(found["_state"])

    def evaluate(self, s: Any, t: Any, labels: Any = None, *, epoch: int = 0, step: int = 0, soft_labels: Any = None,
                 mask: Any = None, weights: Any = None) -> Evaluation:
        """
        Returns loss and gradients of a batch; theta and its momentum do not change.

        labels: [n] whole numbers; soft_labels: [n, k] for the cross-entropy; mask: [n], 0 leaves a sample out; weights:
        [n] for losses that are a mean over samples. epoch and step count from 1; step is only read with
        curriculum_steps.
        """
        error, report = c.CError(), c.Report()
        student, s_kind = logits(s, "student logits")
        teacher, t_kind = logits(t, "teacher logits", student)
        n, k = student.shape
        if k != self.k:
            raise c.InvalidArgument(f"student logits: found {k} classes, expected {self.k}")
        if epoch < 0 or step < 0:
            raise c.InvalidArgument(f"found epoch {epoch} and step {step}, expected numbers counted from 1")
        y = None if labels is None else vector(labels, n, np.int64, "labels")
        soft = None if soft_labels is None else np.ascontiguousarray(_two_d(soft_labels, student), np.float32)
        m = None if mask is None else np.ascontiguousarray(vector(mask, n, np.bool_, "mask"), np.uint8)
        w = None if weights is None else vector(weights, n, np.float32, "weights")
        ds, dtheta = np.zeros((n, k), np.float32), np.zeros(self._count, np.float32)
        batch = c.Batch(size=ctypes.sizeof(c.Batch), n=n, s=pointer(student), t=pointer(teacher), s_type=s_kind,
                        t_type=t_kind, labels64=pointer(y), soft_labels=pointer(soft), mask=pointer(m),
                        weights=pointer(w), epoch=epoch, step=step)
        c.check(c.lib.ctkd_plugin_evaluate(self._handle, batch, pointer(ds), pointer(dtheta),
                                           ctypes.addressof(report), error), error)
        return Evaluation(report.loss, ds, dtheta, report_of(report))

    def apply(self, dtheta: Any, scale: float = 1.0) -> None:
        """Moves theta by SGD on scale * dtheta; for a sum over micro-batches or ranks, scale is 1 over their number."""
        error = c.CError()
        c.check(c.lib.ctkd_plugin_apply(self._handle, pointer(vector(dtheta, self._count, np.float32, "dtheta")),
                                        scale, error), error)

    @property
    def theta(self) -> np.ndarray:
        """A copy of the learned values; assign to replace them."""
        out = np.zeros(self._count, np.float32)
        c.check(c.lib.ctkd_plugin_theta_read(self._handle, pointer(out)))
        return out

    @theta.setter
    def theta(self, value: Any) -> None:
        array = vector(value, self._count, np.float32, "theta")
        c.check(c.lib.ctkd_plugin_theta_write(self._handle, pointer(array)), what="theta")

    def set_learning_rate(self, rate: float) -> None:
        """Sets theta's learning rate; call it when the student's changes."""
        c.check(c.lib.ctkd_plugin_set_learning_rate(self._handle, rate), what=f"learning rate {rate}")
        self._settings["learning_rate"] = rate

    def state(self) -> bytes:
        """theta and its momentum, for a checkpoint."""
        memory = ctypes.create_string_buffer(c.lib.ctkd_plugin_state_size(self._handle))
        c.check(c.lib.ctkd_plugin_save(self._handle, memory, len(memory)))
        return memory.raw

    def restore(self, state: bytes) -> None:
        """Restores what `state` returned for a plugin of the same kind."""
        c.check(c.lib.ctkd_plugin_restore(self._handle, bytes(state), len(state)), what="state")


def _two_d(x: Any, like: np.ndarray) -> np.ndarray:
    array = as_numpy(x)
    if array.shape != like.shape:
        raise ValueError(f"soft labels: found shape {list(array.shape)}, expected {list(like.shape)}")
    return array
