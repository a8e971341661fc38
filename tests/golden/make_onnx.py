#!/usr/bin/env python3
"""Small ONNX classifiers with the forms that exporters give the same thing, and ONNX Runtime's answers to them.

usage: make_onnx.py   writes *.onnx and onnx.txt beside this file (made with onnx 1.23, ONNX Runtime 1.32, PyTorch 2.13)

The logits are those before a Softmax at the end.
"""
import os
import warnings

import numpy as np
import onnx
import onnxruntime
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper

HERE = os.path.dirname(os.path.abspath(__file__))
N, SIDE = 2, 8
draws = np.random.default_rng(1)
node = helper.make_node


def floats(name, *shape):
    return numpy_helper.from_array(draws.normal(size=shape).astype(np.float32), name)


def positive(name, *shape):
    return numpy_helper.from_array(draws.uniform(0.5, 1.5, size=shape).astype(np.float32), name)


def ints(name, *values):
    return numpy_helper.from_array(np.array(values, np.int64), name)


def save(name, nodes, tensors, classes=5):
    graph = helper.make_graph(
        nodes, name, [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", classes])], tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8),
              os.path.join(HERE, name + ".onnx"))


def plain():
    """Normalisation inside, a batch norm with another epsilon, uneven pooling, Gemm."""
    save("onnx_plain", [
        node("Sub", ["x", "mean"], ["s"]), node("Div", ["s", "std"], ["i"]),
        node("Conv", ["i", "conv.weight", "conv.bias"], ["c"], pads=[1, 1, 1, 1], strides=[2, 2]),
        node("BatchNormalization", ["c", "bn.weight", "bn.bias", "bn.m", "bn.v"], ["b"], epsilon=1e-3),
        node("Relu", ["b"], ["r"]), node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Add", ["p", "p"], ["a"]), node("GlobalAveragePool", ["a"], ["g"]), node("Flatten", ["g"], ["f"]),
        node("Gemm", ["f", "fc.weight", "fc.bias"], ["y"], transB=1)],
        [floats("mean", 1, 3, 1, 1), positive("std", 1, 3, 1, 1), floats("conv.weight", 4, 3, 3, 3),
         floats("conv.bias", 4), floats("bn.weight", 4), floats("bn.bias", 4), floats("bn.m", 4),
         positive("bn.v", 4), floats("fc.weight", 5, 4), floats("fc.bias", 5)])


def shapes():
    """SAME padding of a stride of 2, a kernel that is not square, shape arithmetic, MatMul and Add, Softmax."""
    save("onnx_shapes", [
        node("Conv", ["x", "w"], ["c"], auto_pad="SAME_UPPER", strides=[2, 2]),
        node("Conv", ["c", "w13", "b13"], ["d"], pads=[0, 1, 0, 1]), node("Mul", ["d", "scale"], ["e"]),
        node("Slice", ["e", "s0", "s1", "s2", "s3"], ["sl"]), node("Pad", ["sl", "pads"], ["pd"]),
        node("Relu", ["pd"], ["r"]), node("ReduceMean", ["r"], ["m"], axes=[2, 3], keepdims=1),
        node("Shape", ["m"], ["sh"]), node("Gather", ["sh", "zero"], ["n"], axis=0),
        node("Unsqueeze", ["n", "axes"], ["nu"]), node("Concat", ["nu", "minus"], ["to"], axis=0),
        node("Reshape", ["m", "to"], ["f"]), node("MatMul", ["f", "fc"], ["l"]), node("Add", ["l", "fb"], ["z"]),
        node("Softmax", ["z"], ["y"], axis=1)],
        [floats("w", 4, 3, 3, 3), floats("w13", 4, 4, 1, 3), floats("b13", 4), floats("scale", 1, 4, 1, 1),
         ints("s0", 0, 0), ints("s1", 2**62, 2**62), ints("s2", 2, 3), ints("s3", 2, 2),
         ints("pads", 0, 2, 0, 0, 0, 2, 0, 0), numpy_helper.from_array(np.array(0, np.int64), "zero"),
         ints("axes", 0), ints("minus", -1), floats("fc", 8, 5), floats("fb", 5)])


class Padded(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.bn = torch.nn.Conv2d(3, 4, 3, 2, 1), torch.nn.BatchNorm2d(4)
        self.fc = torch.nn.Linear(8, 5)

    def forward(self, x):
        y = F.pad(F.relu(self.bn(self.conv(x)))[:, :, ::2, ::2], (0, 0, 0, 0, 2, 2))
        return F.softmax(self.fc(torch.flatten(F.adaptive_avg_pool2d(y, 1), 1)), 1)


def traced():
    """F.pad as PyTorch's tracer writes it: computed from matrices of integers."""
    torch.manual_seed(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(Padded().eval(), (torch.zeros(N, 3, SIDE, SIDE),), os.path.join(HERE, "onnx_traced.onnx"),
                          dynamo=False, input_names=["x"], dynamic_axes={"x": {0: "batch"}})


def logits(name, x):
    model = onnx.load(os.path.join(HERE, name + ".onnx"))
    last = model.graph.node[-1]
    if last.op_type == "Softmax":
        model.graph.output[0].name = last.input[0]
        model.graph.node.remove(last)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


if __name__ == "__main__":
    plain(), shapes(), traced()
    images = draws.normal(size=(N, 3, SIDE, SIDE)).astype(np.float32)
    with open(os.path.join(HERE, "onnx.txt"), "w") as file:
        for key in ("x", "onnx_plain", "onnx_shapes", "onnx_traced"):
            values = (images if key == "x" else logits(key, images)).ravel()
            file.write(f"{key} {values.size} " + " ".join(f"{v:.9g}" for v in values) + "\n")
