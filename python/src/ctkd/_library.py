"""libctkd through ctypes: the structs of include/ctkd/*.h, the functions, and errors as exceptions."""
from __future__ import annotations

import ctypes
from ctypes import POINTER, Structure, c_bool, c_char, c_char_p, c_double, c_float, c_int
from ctypes import c_size_t, c_uint64, c_uint, c_void_p
from pathlib import Path
from typing import Any, Dict, Optional


class Error(Exception):
    """An error of libctkd, with its message; `status` is its code."""

    status: int = 0


class InvalidArgument(Error, ValueError):
    """A value that is out of range, of the wrong shape, or not a number."""


class NotFound(Error, KeyError):
    """No loss and no option has this name."""

    def __str__(self) -> str:  # KeyError's would be the repr
        return str(self.args[0]) if self.args else ""


class NotFinite(Error, ArithmeticError):
    """A loss, gradient or temperature is NaN or infinite."""


class OutOfMemory(Error, MemoryError):
    """The library could not allocate memory."""


_KINDS = {-1: InvalidArgument, -2: OutOfMemory, -3: InvalidArgument, -4: NotFound, -5: InvalidArgument,
          -6: InvalidArgument, -9: NotFinite, -10: InvalidArgument}

NEEDS_LABELS, NEEDS_TAU, NEEDS_LOGITS, NEEDS_MAPS, NEEDS_IDS, NEEDS_HEAD, NEEDS_VIEWS = (1 << i for i in range(7))


class CError(Structure):  # ctkd_error
    _fields_ = [("status", c_int), ("message", c_char * 512)]


class Report(Structure):  # ctkd_plugin_report
    _fields_ = [(name, c_float) for name in ("loss", "loss_ce", "loss_kd", "loss_method", "tau_mean", "tau_min",
                                             "tau_max", "lambda", "theta_gradient")]
    _fields_ += [("counted", c_size_t), ("labelled", c_size_t)]


class Batch(Structure):  # ctkd_plugin_batch
    _fields_ = [("size", c_size_t), ("n", c_size_t), ("s", c_void_p), ("t", c_void_p), ("s_type", c_int),
                ("t_type", c_int), ("labels", c_void_p), ("labels64", c_void_p), ("soft_labels", c_void_p),
                ("mask", c_void_p), ("weights", c_void_p), ("epoch", c_size_t), ("step", c_uint64)]


class Option(Structure):  # ctkd_option
    _fields_ = [("name", c_char_p), ("type", c_int), ("offset", c_size_t), ("value", c_double), ("min", c_double),
                ("max", c_double), ("text", c_char_p), ("choices", POINTER(c_char_p)), ("help", c_char_p)]


class LossShape(Structure):  # ctkd_loss_shape
    _fields_ = [("size", c_size_t), ("n", c_size_t), ("k", c_size_t), ("maps", c_void_p), ("n_maps", c_size_t),
                ("samples", c_size_t)]


class LossArgs(Structure):  # ctkd_loss_args
    _fields_ = [("size", c_size_t), ("n", c_size_t), ("k", c_size_t), ("s", c_void_p), ("t", c_void_p),
                ("labels", c_void_p), ("tau", c_void_p), ("n_tau", c_size_t), ("loss", c_void_p), ("ds", c_void_p),
                ("dt", c_void_p), ("dtau", c_void_p), ("workspace", c_void_p), ("view", c_int), ("stage", c_uint),
                ("maps", c_void_p), ("n_maps", c_size_t), ("head", c_void_p), ("ids", c_void_p),
                ("samples", c_void_p), ("state", c_void_p), ("pool", c_void_p), ("multiplier", c_void_p), ("part", c_void_p)]


EVAL = ctypes.CFUNCTYPE(c_int, c_void_p, POINTER(LossArgs))


class LossDef(Structure):  # ctkd_loss_def
    _fields_ = [("size", c_size_t), ("name", c_char_p), ("title", c_char_p), ("formula", c_char_p),
                ("source", c_char_p), ("needs", c_uint), ("properties", c_uint), ("classes_min", c_size_t),
                ("batch_min", c_size_t), ("options", POINTER(Option)), ("config_size", c_size_t), ("weight", c_float),
                ("stages", c_uint), ("initial_trains_student", c_bool), ("plan", c_void_p), ("workspace", c_void_p),
                ("state", c_void_p), ("state_init", c_void_p), ("eval", EVAL), ("option_lacks", c_void_p)]


# A wheel contains the library. A distribution's package does not and loads the system's library by its soname.
_OWN = Path(__file__).with_name("libctkd.so")
lib = ctypes.CDLL(str(_OWN) if _OWN.exists() else "libctkd.so.0")


def _declare(name: str, result: Any, *arguments: Any) -> None:
    function = getattr(lib, name)
    function.restype, function.argtypes = result, list(arguments)


_declare("ctkd_version", c_char_p)
_declare("ctkd_status_text", c_char_p, c_int)
_declare("ctkd_logits_read", c_int, c_size_t, c_int, c_void_p, c_void_p)
_declare("ctkd_loss_list", POINTER(POINTER(LossDef)))
_declare("ctkd_loss_find", POINTER(LossDef), c_char_p)
_declare("ctkd_loss_workspace", c_int, POINTER(LossDef), c_void_p, POINTER(LossShape), POINTER(c_size_t))
_declare("ctkd_cross_entropy", c_int, c_size_t, c_size_t, c_void_p, c_void_p, c_void_p, c_void_p)
_declare("ctkd_cross_entropy_soft", c_int, c_size_t, c_size_t, c_void_p, c_void_p, c_void_p, c_void_p)
_declare("ctkd_options_defaults", None, POINTER(Option), c_void_p)
_declare("ctkd_option_set_text", c_int, POINTER(Option), c_void_p, c_char_p, c_char_p, POINTER(CError))
_declare("ctkd_curriculum_lambda", c_int, c_int, c_size_t, c_size_t, c_float, c_float, POINTER(c_float))
_declare("ctkd_plugin_config_init", None, c_void_p, c_size_t, c_size_t, c_size_t, c_size_t)
_declare("ctkd_plugin_options", POINTER(Option))
_declare("ctkd_plugin_config_set", c_int, c_void_p, c_char_p, c_char_p, POINTER(CError))
_declare("ctkd_plugin_create_checked", c_int, c_void_p, POINTER(c_void_p), POINTER(CError))
_declare("ctkd_plugin_destroy", None, c_void_p)
_declare("ctkd_plugin_set_method_text", c_int, c_void_p, c_char_p, c_char_p, POINTER(CError))
_declare("ctkd_plugin_set_learning_rate", c_int, c_void_p, c_float)
_declare("ctkd_plugin_evaluate", c_int, c_void_p, POINTER(Batch), c_void_p, c_void_p, c_void_p, POINTER(CError))
_declare("ctkd_plugin_apply", c_int, c_void_p, c_void_p, c_float, POINTER(CError))
_declare("ctkd_plugin_theta_count", c_size_t, c_void_p)
_declare("ctkd_plugin_theta_read", c_int, c_void_p, c_void_p)
_declare("ctkd_plugin_theta_write", c_int, c_void_p, c_void_p)
_declare("ctkd_plugin_state_size", c_size_t, c_void_p)
_declare("ctkd_plugin_save", c_int, c_void_p, c_void_p, c_size_t)
_declare("ctkd_plugin_restore", c_int, c_void_p, c_void_p, c_size_t)

CONFIG_BYTES = 1024  # more than sizeof(ctkd_plugin_config): members that the library does not know stay 0


def check(status: int, error: Optional[CError] = None, what: str = "") -> None:
    """Raises the exception for a status other than CTKD_OK."""
    if status == 0:
        return
    text = error.message.decode(errors="replace") if error is not None and error.status == status else ""
    text = text or lib.ctkd_status_text(status).decode()
    exception = _KINDS.get(status, Error)(f"{what}: {text}" if what else text)
    exception.status = status
    raise exception


def version() -> str:
    """Version of the loaded library."""
    return lib.ctkd_version().decode()


def plain(value: Any) -> Any:
    """A number of NumPy or PyTorch as a Python number."""
    return value.item() if hasattr(value, "item") else value


def text_of(value: Any) -> bytes:
    """An option's value as text that the library can read."""
    value = plain(value)
    if isinstance(value, bool):
        return b"true" if value else b"false"
    return ("" if value is None else repr(value) if isinstance(value, float) else str(value)).encode()


def describe(options: Any) -> Dict[str, Dict[str, Any]]:
    """An option table as a dict by name: default, range or choices, and help."""
    table: Dict[str, Dict[str, Any]] = {}
    i = 0
    while options and options[i].name is not None:
        option = options[i]
        entry: Dict[str, Any] = {"default": option.value, "help": option.help.decode()}
        if option.type in (0, 1):
            entry["range"] = (option.min, option.max)
        if option.type == 1:
            entry["default"] = int(option.value)
        elif option.type == 2:
            entry["default"] = bool(option.value)
        elif option.type == 3:
            names = []
            while option.choices[len(names)] is not None:
                names.append(option.choices[len(names)].decode())
            entry["choices"], entry["default"] = names, names[int(option.value)]
        elif option.type in (4, 5):
            entry["default"] = (option.text or b"").decode()
        table[option.name.decode()] = entry
        i += 1
    return table
