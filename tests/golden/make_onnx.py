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


def save(name, nodes, tensors, classes=5, opset=13, kind=TensorProto.FLOAT):
    graph = helper.make_graph(
        nodes, name, [helper.make_tensor_value_info("x", kind, ["batch", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", classes])], tensors)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8),
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


def channels():
    """Groups, channel shuffle, Split, Slice, Concat, pools that count zeros or not, activations, a gate, Pad and AveragePool."""
    global draws
    draws = np.random.default_rng(2)
    pool = dict(kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2])
    save("onnx_channels", [
        node("Conv", ["x", "c1.weight"], ["c1"], pads=[1, 1, 1, 1]), node("LeakyRelu", ["c1"], ["a1"], alpha=0.1),
        node("Conv", ["a1", "c2.weight", "c2.bias"], ["c2"], pads=[1, 1, 1, 1], group=12),
        node("Clip", ["c2", "zero", "six"], ["a2"]), node("Conv", ["a2", "c3.weight"], ["c3"], group=3),
        node("Reshape", ["c3", "apart"], ["r5"]), node("Transpose", ["r5"], ["t5"], perm=[0, 2, 1, 3, 4]),
        node("Reshape", ["t5", "whole"], ["sh"]), node("Split", ["sh", "parts"], ["p1", "p2", "p3"], axis=1),
        node("Slice", ["sh", "s0", "s1", "s2"], ["sl"]), node("HardSwish", ["p1"], ["h1"]),
        node("Sigmoid", ["p3"], ["g3"]), node("Mul", ["p3", "g3"], ["m3"]), node("Concat", ["h1", "m3", "sl"], ["cc"], axis=1),
        node("AveragePool", ["cc"], ["q1"], count_include_pad=1, **pool), node("AveragePool", ["cc"], ["q2"], **pool),
        node("Pad", ["cc", "pads"], ["pd"]), node("AveragePool", ["pd"], ["q3"], kernel_shape=[3, 3], strides=[2, 2]),
        node("Add", ["q1", "q2"], ["q4"]), node("Add", ["q4", "q3"], ["q"]),
        node("GlobalAveragePool", ["q"], ["g"]), node("Conv", ["g", "se.weight", "se.bias"], ["e"]),
        node("HardSigmoid", ["e"], ["gate"], alpha=1 / 6), node("Mul", ["gate", "q"], ["gated"]),
        node("Split", ["gated"], ["u1", "u2"], axis=1), node("Add", ["u1", "u2"], ["u"]), node("Clip", ["u", "zero"], ["v"]),
        node("Flatten", ["v"], ["f"]), node("Gemm", ["f", "fc.weight", "fc.bias"], ["l"], transB=1),
        node("Relu", ["l"], ["y"])],
        [floats("c1.weight", 12, 3, 3, 3), floats("c2.weight", 12, 1, 3, 3), floats("c2.bias", 12),
         floats("c3.weight", 12, 4, 1, 1), numpy_helper.from_array(np.array(0, np.float32), "zero"),
         numpy_helper.from_array(np.array(6, np.float32), "six"), ints("apart", 0, 3, 4, 8, 8), ints("whole", 0, 12, 8, 8),
         ints("parts", 4, 5, 3), ints("s0", -5), ints("s1", 2**62), ints("s2", 1), ints("pads", 0, 0, 1, 1, 0, 0, 1, 1),
         floats("se.weight", 12, 12, 1, 1), floats("se.bias", 12), floats("fc.weight", 5, 96), floats("fc.bias", 5)],
        opset=14)


def pools():
    """Windows that reach beyond the image behind, by ceil_mode or unequal pads; a bias under another name; Flatten of 2x2."""
    global draws
    draws = np.random.default_rng(4)
    three = dict(kernel_shape=[3, 3], strides=[2, 2])
    save("onnx_pools", [
        node("Identity", ["bias"], ["c.bias"]), node("Conv", ["x", "c.weight", "c.bias"], ["c"], pads=[1, 1, 1, 1]),
        node("MaxPool", ["c"], ["m"], ceil_mode=1, **three),
        node("MaxPool", ["m"], ["n"], kernel_shape=[2, 2], pads=[0, 0, 1, 1]), node("Add", ["m", "n"], ["o"]),
        node("AveragePool", ["o"], ["p"], ceil_mode=1, count_include_pad=1, **three),
        node("AveragePool", ["o"], ["q"], pads=[0, 0, 1, 1], **three),
        node("AveragePool", ["o"], ["r"], pads=[0, 0, 1, 1], count_include_pad=1, **three),
        node("AveragePool", ["o"], ["s"], auto_pad="SAME_UPPER", **three),
        node("Add", ["p", "q"], ["t"]), node("Add", ["r", "s"], ["u"]), node("Mul", ["t", "u"], ["v"]),
        node("Flatten", ["v"], ["f"]), node("Gemm", ["f", "fc.weight", "bias5"], ["y"], transB=1)],
        [floats("c.weight", 4, 3, 3, 3), floats("bias", 4), floats("fc.weight", 5, 16), floats("bias5", 5)])


class Mobile(torch.nn.Module):
    """What mobile networks are made of, as their authors write it: the shuffle reads its sizes from the tensor."""

    def __init__(self):
        super().__init__()
        self.stem = torch.nn.Sequential(torch.nn.Conv2d(3, 12, 3, 1, 1, bias=False), torch.nn.BatchNorm2d(12), torch.nn.ReLU6())
        self.depth = torch.nn.Sequential(torch.nn.Conv2d(6, 6, 3, 2, 1, groups=6), torch.nn.BatchNorm2d(6))
        self.point = torch.nn.Sequential(torch.nn.Conv2d(6, 6, 1), torch.nn.Hardswish())
        self.pool = torch.nn.AvgPool2d(3, 2, 1)
        self.gate = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Conv2d(12, 12, 1), torch.nn.Hardsigmoid())
        self.classes = torch.nn.Conv2d(12, 5, 1)

    def forward(self, x):
        left, right = self.stem(x).chunk(2, 1)
        y = torch.cat([self.point(self.depth(left)), F.silu(self.pool(right))], 1)
        n, c, h, w = y.size()
        y = y.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, c, h, w)
        y = y * self.gate(y)
        return torch.flatten(self.classes(F.adaptive_avg_pool2d(y, 1)), 1)


def exported(name, side=SIDE, **options):
    torch.manual_seed(3)
    model = Mobile()
    for norm in (model.stem[1], model.depth[1]):
        torch.nn.init.uniform_(norm.weight, 0.5, 1.5), torch.nn.init.uniform_(norm.running_var, 0.5, 1.5)
        torch.nn.init.normal_(norm.bias), torch.nn.init.normal_(norm.running_mean)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(model.eval(), (torch.zeros(N, 3, side, side),), os.path.join(HERE, name + ".onnx"),
                          input_names=["x"], verbose=False, **options)
    without_traces(os.path.join(HERE, name + ".onnx"))


def without_traces(path):
    """The exporter writes the stack of each node, with paths of the machine that it ran on."""
    model = onnx.load(path, load_external_data=False)
    for node in model.graph.node:
        for entry in [e for e in node.metadata_props if "stack_trace" in e.key]:
            node.metadata_props.remove(entry)
    onnx.save(model, path)


def half():
    """Weights and values in half precision, images and logits in float; a weight cast on the way, an integer to half."""
    global draws
    draws = np.random.default_rng(5)
    tensors = [floats("conv.weight", 4, 3, 3, 3), floats("conv.bias", 4), positive("bn.weight", 4), floats("bn.bias", 4),
               floats("bn.m", 4), positive("bn.v", 4), floats("fc.bias", 5)]
    tensors = [numpy_helper.from_array(numpy_helper.to_array(t).astype(np.float16), t.name) for t in tensors]
    save("onnx_half", [
        node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16), node("Cast", ["two"], ["halftwo"], to=TensorProto.FLOAT16),
        node("Conv", ["h", "conv.weight", "conv.bias"], ["c"], strides=[2, 2]),
        node("BatchNormalization", ["c", "bn.weight", "bn.bias", "bn.m", "bn.v"], ["b"]),
        node("Div", ["b", "halftwo"], ["d"]), node("Relu", ["d"], ["r"]), node("GlobalAveragePool", ["r"], ["g"]),
        node("Shape", ["g"], ["s"]), node("Cast", ["s"], ["s32"], to=TensorProto.INT32),
        node("Cast", ["s32"], ["s64"], to=TensorProto.INT64), node("Gather", ["s64", "zero"], ["n"], axis=0),
        node("Unsqueeze", ["n", "axes"], ["nu"]), node("Concat", ["nu", "minus"], ["to"], axis=0),
        node("Reshape", ["g", "to"], ["f"]), node("Cast", ["fc.weight"], ["halffc"], to=TensorProto.FLOAT16),
        node("Gemm", ["f", "halffc", "fc.bias"], ["l"], transB=1), node("Cast", ["l"], ["y"], to=TensorProto.FLOAT)],
        tensors + [floats("fc.weight", 5, 4), numpy_helper.from_array(np.array(2, np.int64), "two"),
                   numpy_helper.from_array(np.array(0, np.int64), "zero"), ints("axes", 0), ints("minus", -1)])


def of_bytes():
    """Images of bytes, cast, divided by 255 and normalised inside."""
    global draws
    draws = np.random.default_rng(6)
    tensors = [numpy_helper.from_array(np.array(255, np.float32), "full"), positive("mean", 3, 1, 1), positive("std", 1, 3, 1, 1),
               floats("conv.weight", 4, 3, 3, 3), floats("conv.bias", 4), floats("fc.weight", 5, 4), floats("fc.bias", 5)]
    save("onnx_bytes", [
        node("Cast", ["x"], ["f"], to=TensorProto.FLOAT), node("Div", ["f", "full"], ["p"]), node("Sub", ["p", "mean"], ["s"]),
        node("Div", ["s", "std"], ["i"]), node("Conv", ["i", "conv.weight", "conv.bias"], ["c"], pads=[1, 1, 1, 1]),
        node("Relu", ["c"], ["r"]), node("GlobalAveragePool", ["r"], ["g"]), node("Flatten", ["g"], ["v"]),
        node("Gemm", ["v", "fc.weight", "fc.bias"], ["y"], transB=1)], tensors, kind=TensorProto.UINT8)
    return draws.integers(0, 256, size=(N, 3, SIDE, SIDE)).astype(np.uint8)


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
    channels(), pools()
    exported("onnx_mobile_traced", dynamo=False, dynamic_axes={"x": {0: "batch"}})
    exported("onnx_mobile_exported", dynamo=True, external_data=False,
             dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=1024)},))
    # The size of the images is free, and not what it was when the model was traced; weights beside the model.
    free = {"x": {0: "batch", 2: "h", 3: "w"}}
    exported("onnx_free_traced", dynamo=False, dynamic_axes=free, side=12)
    exported("onnx_free_exported", dynamo=True, side=12, dynamic_shapes=(
        {0: torch.export.Dim("batch", min=1, max=64), 2: torch.export.Dim("h", min=4, max=64),
         3: torch.export.Dim("w", min=4, max=64)},))
    half()
    pixels = of_bytes()
    with open(os.path.join(HERE, "onnx.txt"), "w") as file:
        for key in ("x", "onnx_plain", "onnx_shapes", "onnx_traced", "onnx_channels", "onnx_mobile_traced",
                    "onnx_mobile_exported", "onnx_pools", "onnx_free_traced", "onnx_free_exported", "onnx_half", "bytes",
                    "onnx_bytes"):
            given = pixels if key == "onnx_bytes" else images
            values = (images if key == "x" else pixels if key == "bytes" else logits(key, given)).ravel()
            file.write(f"{key} {values.size} " + " ".join(f"{v:.9g}" for v in values) + "\n")
