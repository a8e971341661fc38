"""Reads tests/golden/*.txt: lines of key, count, values, after one with # that says what made them."""
import os
import pathlib

import numpy as np

SOURCE = pathlib.Path(os.environ.get("CTKD_SOURCE") or pathlib.Path(__file__).resolve().parents[2])


def read(name):
    values = {}
    for line in (SOURCE / "tests/golden" / name).read_text().splitlines():
        if line.startswith("#"):
            continue
        key, count, *numbers = line.split()
        values[key] = np.array(numbers, np.float64)
        assert len(numbers) == int(count), key
    return values
