"""Arrays of any library as NumPy arrays, copied only where libctkd needs another layout or type."""
from __future__ import annotations

from typing import Any, Optional, Tuple

import numpy as np

F32, F16, BF16 = 0, 1, 2  # ctkd_logit_type


def as_numpy(x: Any) -> np.ndarray:
    """A NumPy array from the buffer protocol, from DLPack (NumPy, PyTorch on the CPU, JAX) or from a list of numbers."""
    if isinstance(x, np.ndarray):
        return x
    detach = getattr(x, "detach", None)  # PyTorch refuses a buffer of a tensor that needs a gradient
    if detach is not None:
        x = detach()
        if str(x.dtype) == "torch.bfloat16":  # NumPy has no such type: take the bits
            import torch

            return x.contiguous().view(torch.int16).numpy().view(_Bits)
    if hasattr(x, "__dlpack__"):
        try:
            return np.from_dlpack(x)
        except (BufferError, RuntimeError, TypeError) as reason:
            device = x.__dlpack_device__()[0] if hasattr(x, "__dlpack_device__") else 1
            if device != 1:
                raise ValueError("found an array on another device, expected one in the CPU's memory") from reason
    return np.asarray(x)


class _Bits(np.ndarray):
    """bfloat16 numbers, held as int16."""


def logits(x: Any, name: str, like: Optional[np.ndarray] = None) -> Tuple[np.ndarray, int]:
    """Contiguous logits [n, k] and their ctkd_logit_type; types other than float16 and bfloat16 become float32."""
    array = as_numpy(x)
    if array.ndim != 2 or (like is not None and array.shape != like.shape):
        wanted = "[n, k]" if like is None else str(list(like.shape))
        raise ValueError(f"{name}: found shape {list(array.shape)}, expected {wanted}")
    if array.size == 0:
        raise ValueError(f"{name}: found shape {list(array.shape)}, expected at least one sample and one class")
    if isinstance(array, _Bits) or array.dtype.name == "bfloat16":
        return np.ascontiguousarray(array).view(np.ndarray), BF16
    if array.dtype == np.float16:
        return np.ascontiguousarray(array), F16
    if array.dtype.kind not in "fiu":
        raise TypeError(f"{name}: found {array.dtype}, expected numbers")
    return np.ascontiguousarray(array, dtype=np.float32), F32


def vector(x: Any, n: int, dtype: Any, name: str) -> np.ndarray:
    """An array [n] of the given type; labels must be whole numbers."""
    array = as_numpy(x)
    if array.shape != (n,):
        raise ValueError(f"{name}: found shape {list(array.shape)}, expected [{n}]")
    if np.dtype(dtype).kind == "i" and array.dtype.kind not in "iu":
        raise TypeError(f"{name}: found {array.dtype}, expected whole numbers")
    return np.ascontiguousarray(array, dtype=dtype)


def pointer(array: Optional[np.ndarray]) -> Optional[int]:
    return None if array is None else array.ctypes.data
