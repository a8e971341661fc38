"""What an evaluation depends on besides tensors, as one string, because operators of PyTorch cannot take Python objects."""
from __future__ import annotations

import ctypes
import json
from functools import lru_cache
from typing import Any, Dict

from .. import _library as c
from .._plugin import options

CURRICULA = options()["curriculum"]["choices"]


class Settings:
    """Plugin settings by name with the library's defaults, method options and the backend."""

    def __init__(self, text: str) -> None:
        given = json.loads(text)
        self.text: str = text
        self.given: Dict[str, Any] = given["settings"]
        self.method_options: Dict[str, Any] = given["method_options"]
        self.backend: str = given["backend"]
        every = {name: entry["default"] for name, entry in options().items()}
        self.values: Dict[str, Any] = {**every, **self.given}

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def strength(self, at: int) -> float:
        """lambda at an epoch or step, which count from 1."""
        length, out = self["curriculum_steps"] or self["curriculum_epochs"], ctypes.c_float()
        kind = CURRICULA.index(self["curriculum"] if length else "none")
        c.check(c.lib.ctkd_curriculum_lambda(kind, at, length, self["lambda_min"], self["lambda_max"], out))
        return out.value


def text_of(settings: Dict[str, Any], method_options: Dict[str, Any], backend: str) -> str:
    return json.dumps({"settings": settings, "method_options": method_options, "backend": backend}, sort_keys=True,
                      default=c.plain)


@lru_cache(maxsize=None)
def settings_of(text: str) -> Settings:
    return Settings(text)
