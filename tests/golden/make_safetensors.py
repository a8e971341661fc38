# Writes small.safetensors with the reference implementation (safetensors 0.8.0, NumPy 2.4).
import pathlib

import numpy
from safetensors.numpy import save_file

save_file(
    {
        "conv.weight": numpy.arange(12, dtype=numpy.float32).reshape(2, 3, 1, 2) / 4 - 1,
        "bn.num_batches_tracked": numpy.array(-5, dtype=numpy.int64),
        "half": numpy.array([0.5, -2], dtype=numpy.float16),
        "flags": numpy.array([True, False, True]),
        "bytes": numpy.array([1, 255, 7], dtype=numpy.uint8),
        "none": numpy.zeros((0, 3), dtype=numpy.float64),
    },
    pathlib.Path(__file__).with_name("small.safetensors"),
    metadata={"network": "resnet20", "name": "Zürich"},
)
