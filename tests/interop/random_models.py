#!/usr/bin/env python3
"""Random ONNX classifiers: what is said of each here, against ONNX Runtime.

usage: random_models.py INTEROP_LOGITS FOLDER FIRST COUNT

A model with the number FIRST, FIRST + 1, ... always has the same operators and weights. Its attributes are those that
exporters write and, now and then, others that are as valid; so is its form: weights in files beside it, height and width
free, weights in half precision that are cast, values that are cast to half and back (and compared accordingly), images of
bytes, fields in another order. Each model must have the logits that ONNX Runtime (without
its own optimisation) computes, or be refused with one line that names the file and the node; a third at least must
have them.
"""
import os
import shutil
import struct
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

N, SIDE, CLASSES = 4, 16, 10
LOGITS, FOLDER, FIRST, COUNT = *sys.argv[1:3], *map(int, sys.argv[3:5])


class Value:
    def __init__(self, name, c, h=1, w=1, flat=False):
        self.name, self.c, self.h, self.w, self.flat = name, c, h, w, flat


class Invalid(Exception):
    """What was drawn is no model."""


class Model:
    """Nodes drawn one after the other; x is the value that the next one reads."""

    def __init__(self, number):
        self.draw = np.random.default_rng(number)
        self.form = np.random.default_rng(number + 10 ** 6)  # of its own, so that the operators stay what they were
        self.free, self.halves, self.bytes, self.beside, self.turned = (self.form.random(5) < 0.3).tolist()
        self.bytes = self.bytes and not self.halves  # 255 times as much may be too much
        self.opset = self.pick(11, 13, 17, 18, 21)
        self.nodes, self.constants, self.names = [], [], 0
        self.values = [Value("x", 1, SIDE, SIDE)]

    def pick(self, *options):
        return options[self.draw.integers(len(options))]

    def chance(self, share):
        return self.draw.random() < share

    # --- parts of a model

    def name(self, kind):
        self.names += 1
        return f"{kind}{self.names}"

    def constant(self, array, kind=np.float32):
        name = self.name("k")
        if kind is np.float32 and self.form.random() < 0.1:
            self.constants.append(numpy_helper.from_array(np.asarray(array, np.float16), name + "half"))
            self.nodes.append(helper.make_node("Cast", [name + "half"], [name], to=TensorProto.FLOAT))
            return name
        tensor = numpy_helper.from_array(np.asarray(array, kind), name)
        if self.chance(0.2):
            self.nodes.append(helper.make_node("Constant", [], [name], value=tensor))
        else:
            self.constants.append(tensor)
        return name

    def ints(self, *values):
        return self.constant(values, np.int64)

    def floats(self, shape, fan_in, mean=0):
        return self.constant(self.draw.normal(mean, fan_in ** -0.5, shape))

    def node(self, op, inputs, outputs=1, **attributes):
        names = [self.name("v") for _ in range(outputs)]
        attributes = {key: value for key, value in attributes.items() if value is not None}
        self.nodes.append(helper.make_node(op, inputs, names, name=f"{op}_{self.names}", **attributes))
        return names if outputs > 1 else names[0]

    def with_ints(self, since, op, x, name, values, **attributes):
        """A list that is an attribute before an opset and an input since."""
        if self.opset < since:
            return self.node(op, [x], **{name: values}, **attributes)
        return self.node(op, [x, self.ints(*values)] if values else [x], **attributes)

    def input(self, x):
        return {"pixels": np.rint(255 * x).astype(np.uint8)} if self.bytes else {"x": x}

    def measured(self, name):
        """With the shape that ONNX Runtime gives it."""
        session = runtime(self.proto(name, None))
        try:
            shape = session.run(None, self.input(np.zeros((N, 1, SIDE, SIDE), np.float32)))[0].shape
        except Exception as error:
            raise Invalid(error) from None
        if shape[0] != N or 0 in shape or len(shape) not in (2, 4):
            raise Invalid(shape)
        return Value(name, shape[1], flat=True) if len(shape) == 2 else Value(name, *shape[1:])

    def like(self, x, name):
        return Value(name, x.c, x.h, x.w, x.flat)

    def other(self, x):
        """A value of x's kind, from before."""
        fitting = [v for v in self.values if v.flat == x.flat and (v.h, v.w) == (x.h, x.w)]
        return fitting[self.draw.integers(len(fitting))]

    def swapped(self, *names):
        return names[::-1] if self.chance(0.3) else names

    # --- windows

    def window(self, biggest):
        kernel = [min(self.pick(1, 2, 3, 3, 5), biggest)] * 2
        if self.chance(0.1):
            kernel[1] = min(self.pick(1, 2, 3), biggest)
        attributes = {"kernel_shape": kernel, "strides": [self.pick(1, 1, 2, 2, 3)] * 2}
        if self.chance(0.03):
            attributes["strides"][1] = 2
        style = self.draw.random()
        if style < 0.2:
            attributes["auto_pad"] = self.pick("SAME_UPPER", "SAME_LOWER", "VALID")
        elif style < 0.6:
            attributes["pads"] = [int(self.draw.integers(max(kernel)))] * 4 if kernel[0] == kernel[1] else \
                [kernel[0] // 2, kernel[1] // 2] * 2
        elif style < 0.8:
            begin, end = (int(self.draw.integers(min(kernel))) for _ in range(2))
            attributes["pads"] = [begin, begin, end, end]
        elif style < 0.85:
            attributes["pads"] = [int(self.draw.integers(kernel[i % 2])) for i in range(4)]
        return attributes

    def conv(self, x):
        attributes = self.window(min(x.h, x.w))
        if "auto_pad" not in attributes and self.chance(0.2):
            attributes["dilations"] = [2, 2]
        groups = int(self.pick(1, 1, *[g for g in range(1, x.c + 1) if x.c % g == 0]))
        out = groups * int(self.draw.integers(1, 1 + max(1, 16 // groups)))
        shape = (out, x.c // groups, *attributes["kernel_shape"])
        inputs = [x.name, self.floats(shape, np.prod(shape[1:]))]
        if self.chance(0.6):
            inputs.append(self.floats(out, 10))
        if self.chance(0.3):
            del attributes["kernel_shape"]
        return self.measured(self.node("Conv", inputs, group=groups, **attributes))

    def pool(self, x):
        op = self.pick("MaxPool", "AveragePool")
        return self.measured(self.node(
            op, [x.name], ceil_mode=self.pick(None, None, 1),
            count_include_pad=self.pick(None, 1) if op == "AveragePool" else None, **self.window(min(x.h, x.w))))

    # --- element by element

    def norm(self, x):
        c = x.c
        return self.like(x, self.node("BatchNormalization", [
            x.name, self.floats(c, 20, 1), self.floats(c, 20), self.floats(c, 20),
            self.constant(self.draw.uniform(0.5, 1.5, c))], epsilon=self.pick(None, 1e-5, 1e-3)))

    def activation(self, x):
        kind = self.pick(*["Relu", "Relu6", "Above", "Sigmoid", "HardSigmoid", "HardSwish", "LeakyRelu"] * 4, "Between")
        bounds = {"Relu6": (0.0, 6.0), "Above": (0.0,), "Between": (-1.0, 1.0)}
        if kind in bounds:
            y = self.node("Clip", [x.name] + [self.constant(bound) for bound in bounds[kind]])
        elif kind == "HardSwish" and self.opset < 14:
            raise Invalid(kind)
        else:
            attributes = {"HardSigmoid": {"alpha": None if self.chance(0.05) else 1 / 6},
                          "LeakyRelu": {"alpha": self.pick(None, 0.3)}}
            y = self.node(kind, [x.name], **attributes.get(kind, {}))
        return self.like(x, y)

    def affine(self, x):
        shape = self.pick((), (1,), (x.c,), (1, x.c)) if x.flat else \
            self.pick((), (1,), *[(x.c, 1, 1), (1, x.c, 1, 1)] * 4, (1, 1, 1), (x.w,), (1, 1, x.h, 1))
        sign = -1 if self.chance(0.05) else 1
        names = x.name, self.constant(sign * self.draw.uniform(0.5, 1.5, shape))
        op = self.pick("Add", "Mul", "Sub", "Div")
        return self.like(x, self.node(op, names if op == "Div" and self.chance(0.9) else self.swapped(*names)))

    def binary(self, x):
        op = self.pick(*["Add", "Mul"] * 9, "Sub", "Div")
        return self.measured(self.node(op, self.swapped(x.name, self.other(x).name)))

    def gate(self, x):
        if x.flat:
            raise Invalid("a vector")
        y = self.node("Conv", [self.node("GlobalAveragePool", [x.name]), self.floats((x.c, x.c, 1, 1), x.c)])
        return self.like(x, self.node("Mul", self.swapped(x.name, self.node("Sigmoid", [y]))))

    # --- channels

    def split(self, x):
        parts = self.pick(2, 2, 3)
        if x.c < parts:
            raise Invalid("too few")
        axis = self.pick(1, 1, -1 if x.flat else -3)
        if self.chance(0.6):
            cuts = sorted(self.draw.choice(np.arange(1, x.c), parts - 1, replace=False).tolist())
            sizes = np.diff([0, *cuts, x.c]).tolist()
            names = self.node("Split", [x.name], parts, axis=axis, split=sizes) if self.opset < 13 else \
                self.node("Split", [x.name, self.ints(*sizes)], parts, axis=axis)
        else:
            names = self.node("Split", [x.name], parts, axis=axis, num_outputs=parts if self.opset >= 18 else None)
        if self.chance(0.4):
            return self.measured(names[self.draw.integers(parts)])
        return self.measured(self.node("Concat", list(self.draw.permutation(names)), axis=axis))

    def concat(self, x):
        return self.measured(self.node("Concat", [x.name, self.other(x).name], axis=1))

    def slice(self, x):
        if self.chance(0.6) or x.flat:
            begin, end = sorted(self.draw.choice(np.arange(x.c + 1), 2, replace=False).tolist())
            lists = [[begin - x.c if self.chance(0.2) and begin < end else begin],
                     [2 ** 62 if self.chance(0.2) else end], [1]]
            if self.chance(0.5):
                lists.append([2 if self.chance(0.05) else 1])
        else:
            step, begin = self.pick(1, 2, 2, 3), 1 if self.chance(0.05) else 0
            lists = [[begin] * 2, [x.h - 1 if self.chance(0.05) else 2 ** 31 - 1, 2 ** 31 - 1],
                     self.pick([2, 3], [3, 2], [-2, -1]), [step, 1 if self.chance(0.05) else step]]
        return self.measured(self.node("Slice", [x.name] + [self.ints(*each) for each in lists]))

    def pad(self, x):
        if x.flat:
            raise Invalid("a vector")
        pads = np.zeros((2, 4), np.int64)
        if self.chance(0.7):
            pads[:, 2:] = self.pick(1, 2)
            pads[1, 2] += self.pick(-1, 1) if self.chance(0.1) else 0
        else:
            pads[:, 1] = self.pick(1, 2)
            pads[1, 1] += 1 if self.chance(0.1) else 0
        inputs = [x.name, self.ints(*pads.flatten())]
        if self.chance(0.3):
            inputs.append(self.constant(0.5 if self.chance(0.1) else 0.0))
        name = self.node("Pad", inputs, mode="reflect" if self.chance(0.05) else self.pick(None, "constant"))
        return self.measured(self.node("Conv", [name, self.floats((x.c + pads[:, 1].sum(), ) * 2 + (1, 1), x.c)])
                             if self.chance(0.9) else name)

    def shuffle(self, x):
        if x.flat:
            raise Invalid("a vector")
        groups = int(self.pick(*[g for g in range(1, x.c + 1) if x.c % g == 0]))
        batch = N if self.chance(0.03) else self.pick(-1, 0)
        steps = [lambda y: self.node("Transpose", [y], perm=self.pick(*[[0, 2, 1, 3, 4]] * 9, [0, 2, 1, 4, 3]))]
        for at in (0, 1):
            if self.chance(0.05):
                steps.insert(at, lambda y: self.node("Mul", [y, self.constant(self.draw.uniform(0.5, 2))]))
        y = self.node("Reshape", [x.name, self.ints(batch, groups, x.c // groups, x.h, x.w)])
        for step in steps:
            y = step(y)
        return self.measured(self.node("Reshape", [y, self.ints(batch, x.c, x.h, x.w)]))

    def transpose(self, x):
        perm = [0, 1] if x.flat else self.pick([0, 1, 3, 2], [0, 2, 3, 1])
        return self.measured(self.node("Transpose", [x.name], perm=perm))

    def alias(self, x):
        return self.like(x, self.node(self.pick("Identity", "Dropout"), [x.name]))

    def half(self, x):
        """To half precision and back."""
        return self.like(x, self.node("Cast", [self.node("Cast", [x.name], to=TensorProto.FLOAT16)], to=TensorProto.FLOAT))

    # --- to vectors and back

    def flatten(self, x):
        if x.flat:
            raise Invalid("a vector")
        size = x.c * x.h * x.w
        kind = self.pick("Flatten", "Flatten", "Reshape", "Shape", "Mean", "Mean")
        if kind == "Flatten":
            return Value(self.node("Flatten", [x.name], axis=self.pick(None, 1, -3)), size, flat=True)
        if kind == "Reshape":
            return Value(self.node("Reshape", [x.name, self.ints(*self.pick((-1, size), (0, -1)))]), size, flat=True)
        if kind == "Shape":
            if self.opset >= 15 and self.form.random() < 0.5:
                n = self.node("Shape", [x.name], start=int(self.form.choice([0, -4])), end=1)
            else:
                n = self.node("Gather", [self.node("Shape", [x.name]), self.constant(0, np.int64)])
                n = self.with_ints(13, "Unsqueeze", n, "axes", [0])
            to = self.node("Concat", [n, self.ints(-1)], axis=0)
            return Value(self.node("Reshape", [x.name, to]), size, flat=True)
        keep = self.pick(0, 1)
        y = self.with_ints(18, "ReduceMean", x.name, "axes", self.pick([2, 3], [-1, -2], [2, 3], [1, 2]), keepdims=keep)
        if keep:
            y = self.with_ints(13, "Squeeze", y, "axes", self.pick([2, 3], [-1, -2], [2, 3], [2], None))
        return self.measured(y)

    def unflatten(self, x):
        if not x.flat:
            raise Invalid("an image")
        return self.measured(self.node("Reshape", [x.name, self.ints(-1, x.c, 1, 1)]))

    def linear(self, x, out=None):
        if not x.flat:
            raise Invalid("an image")
        out = out or int(self.draw.integers(2, 20))
        if self.chance(0.4):
            y = self.node("MatMul", [x.name, self.floats((x.c, out), x.c)])
            if self.chance(0.7):
                y = self.node("Add", self.swapped(y, self.floats(out, 10)))
        else:
            turned = self.pick(0, 1)
            inputs = [x.name, self.floats((out, x.c) if turned else (x.c, out), x.c)]
            if self.chance(0.8):
                inputs.append(self.floats(out, 10))
            y = self.node("Gemm", inputs, transB=turned, alpha=self.pick(None, 0.5),
                          beta=0.5 if self.chance(0.05) else None)
        return Value(y, out, flat=True)

    # --- the whole

    def proto(self, output, shape):
        sides = ["h", "w"] if self.free else [SIDE, SIDE]
        kind, input_name = (TensorProto.UINT8, "pixels") if self.bytes else (TensorProto.FLOAT, "x")
        given = helper.make_tensor_value_info(input_name, kind, ["n", 1, *sides])
        taken = helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)
        graph = helper.make_graph(self.nodes, "model", [given], [taken], self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)

    def extend(self, kind, *arguments):
        """One more operator; what cannot be drawn leaves everything as it is."""
        nodes, constants = len(self.nodes), len(self.constants)
        try:
            self.values.append(getattr(self, kind)(self.values[-1], *arguments))
        except Invalid:
            del self.nodes[nodes:], self.constants[constants:]

    def build(self):
        """The model, and whether it ends in a Softmax: self.built and .softmax."""
        if self.bytes:
            self.nodes.append(helper.make_node("Cast", ["pixels"], ["x"], name="Cast", to=TensorProto.FLOAT))
        rare = ["transpose"] if self.chance(0.05) else []
        on_images = ["conv"] * 4 + ["pool", "norm", "activation", "activation", "affine", "binary", "gate", "split",
                                    "concat", "slice", "pad", "shuffle", "alias"] + rare
        on_vectors = ["linear"] * 6 + ["activation", "affine", "norm", "binary", "split", "concat", "slice", "alias",
                                       "unflatten"] + rare
        for _ in range(self.draw.integers(2, 8)):
            self.extend(self.pick(*on_images))
            if self.halves and self.form.random() < 0.3:
                self.extend("half")
        while not self.values[-1].flat:
            self.extend("flatten")
        for _ in range(self.draw.integers(0, 4)):
            self.extend(self.pick(*on_vectors))
        while not self.values[-1].flat:
            self.extend("flatten")
        self.extend("linear", CLASSES)
        softmax = self.chance(0.3)
        if softmax:
            self.values.append(self.like(self.values[-1], self.node(
                "Softmax", [self.values[-1].name], axis=self.pick(None, 1, -1))))
            if self.chance(0.2):
                self.extend("affine")
        model = self.proto(self.values[-1].name, ["n", CLASSES])
        onnx.checker.check_model(model)
        self.built, self.softmax = model, softmax
        return self


def turned(message):
    """The fields of a message in reverse order; those of one number stay in theirs."""
    groups, at = {}, 0
    while at < len(message):
        start, (tag, at) = at, varint(message, at)
        length, at = varint(message, at)
        at += length if tag % 8 == 2 else 0
        groups.setdefault(tag, []).append(message[start:at])
    return b"".join(b"".join(pieces) for pieces in reversed(groups.values()))


def varint(message, at):
    value, shift = 0, 0
    while True:
        value |= (message[at] & 127) << shift
        shift, at = shift + 7, at + 1
        if message[at - 1] < 128:
            return value, at


def save(model, number, path):
    """In the form that the model wants."""
    proto = onnx.ModelProto()
    proto.CopyFrom(model.built)  # saving takes the weights out
    if model.beside:
        one = bool(number % 2)
        onnx.save_model(proto, path, save_as_external_data=True, all_tensors_to_one_file=one, size_threshold=0,
                        location=f"{number}.data" if one else None, convert_attribute=bool(number % 3))
    else:
        onnx.save(proto, path)
    if model.turned:
        with open(path, "rb") as file:
            text = file.read()
        with open(path, "wb") as file:
            file.write(turned(text))


def runtime(model):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise Invalid(error) from None


def write_images():
    """MNIST's files, of small images."""
    folder = os.path.join(FOLDER, "digits")
    os.makedirs(folder, exist_ok=True)
    draw = np.random.default_rng(0)
    for part, n in (("train", 16), ("t10k", 16)):
        with open(os.path.join(folder, f"{part}-images-idx3-ubyte"), "wb") as file:
            file.write(struct.pack(">4I", 0x803, n, SIDE, SIDE) + draw.bytes(n * SIDE * SIDE))
        with open(os.path.join(folder, f"{part}-labels-idx1-ubyte"), "wb") as file:
            file.write(struct.pack(">2I", 0x801, n) + bytes(i % CLASSES for i in range(n)))
    return folder


def probabilities(logits):
    e = np.exp(logits.astype(np.float64) - logits.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def compare(number, digits):
    """Whether a model has its logits here: else it is refused as it should be, or this ends."""
    model = Model(number).build()
    folder, images = os.path.join(FOLDER, f"model{number}"), os.path.join(FOLDER, "images")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, f"{number}.onnx")
    save(model, number, path)
    done = subprocess.run(
        [LOGITS, images, path, f"data.set=mnist:{digits}", "data.mean=0", "data.std=1", f"train.batch={N}",
         "train.threads=1"], capture_output=True, text=True)
    lines = done.stderr.splitlines()
    if done.returncode == 1 and len(lines) == 1 and f"{number}.onnx: node " in lines[0]:
        return lines[0]
    if done.returncode:
        sys.exit(f"FAILED: {path}: status {done.returncode}: {done.stderr}")
    x = np.fromfile(images, np.float32).reshape(N, 1, SIDE, SIDE)
    expected = runtime(model.built).run(None, model.input(x))[0]
    found = np.fromfile(f"{path}.logits", np.float32).reshape(N, CLASSES)
    found = probabilities(found) if model.softmax else found
    error = np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-3)
    if not error <= (3e-2 if model.halves else 1e-4):
        sys.exit(f"FAILED: {path}: relative difference {error:.2g}: {' '.join(n.op_type for n in model.built.graph.node)}")
    shutil.rmtree(folder)
    return None


if __name__ == "__main__":
    onnxruntime.set_default_logger_severity(4)
    data = write_images()
    refused = [text for text in (compare(i, data) for i in range(FIRST, FIRST + COUNT)) if text]
    if os.environ.get("SHOW_REFUSED"):
        print("\n".join(refused))
    print(f"{COUNT} random models: {COUNT - len(refused)} have ONNX Runtime's logits, {len(refused)} are refused")
    if 3 * len(refused) > 2 * COUNT:
        sys.exit("FAILED: too many are refused")
