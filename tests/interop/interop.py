#!/usr/bin/env python3
"""Files of ctkd in PyTorch, safetensors, ONNX and ONNX Runtime, and theirs in ctkd.

usage: interop.py CTKD INTEROP_LOGITS FOLDER

Every network of `ctkd models` begins as a PyTorch model (tests/golden/networks.py) with drawn weights. Its logits on
the first test images of Fashion-MNIST are what all others are compared with: largest difference over largest logit.
"""
import os
import subprocess
import sys
import warnings

import numpy as np
import onnx
import onnxruntime
import torch
from safetensors.numpy import load_file
from safetensors.torch import load_file as load_file_torch

import networks

N, SIDE, CLASSES = 8, 32, 10
MEAN, STD = 0.2860, 0.3530  # of the data set, src/data/idx.c
CTKD, LOGITS, FOLDER = sys.argv[1:4]
checks = 0


def path(name):
    return os.path.join(FOLDER, name)


def check(what, condition):
    global checks
    checks += 1
    if not condition:
        sys.exit(f"FAILED: {what}")


def check_close(what, found, expected, tolerance):
    error = np.abs(found - expected).max() / np.abs(expected).max()
    check(f"{what}: relative difference {error:.2g}, expected {tolerance:g}",
          found.shape == expected.shape and error <= tolerance)


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"FAILED: {' '.join(command)}: {done.stderr}")
    return done.stdout


def convert(source, target, *settings):
    run(CTKD, "convert", path(source), path(target), *settings)


def our_logits(channels, *names):
    """Images as a network takes them, and our logits by file, as a teacher's."""
    run(LOGITS, path("images"), *[path(name) for name in names], "data.set=fashion-mnist", f"data.pad_to={SIDE}",
        f"data.channels={channels}", f"train.batch={N}", "train.threads=2")
    images = np.fromfile(path("images"), np.float32).reshape(N, channels, SIDE, SIDE)
    return images, {name: np.fromfile(path(f"{name}.logits"), np.float32).reshape(N, CLASSES) for name in names}


def drawn(name, channels):
    """With weights of He's deviation, and batch norms near their defaults."""
    torch.manual_seed(1)
    net = networks.build(name, channels, CLASSES)
    with torch.no_grad():
        for key, value in net.state_dict().items():
            if key.endswith("running_var"):
                value.uniform_(0.75, 1.25)
            elif value.dim() > 1:
                value.normal_(std=(2 / value[0].numel()) ** 0.5)
            elif value.dim() == 1:
                value.normal_(1 if key.endswith("weight") else 0, 0.125)
    return net.eval()


def torch_logits(net, images):
    with torch.no_grad():
        return net.double()(torch.from_numpy(images).double()).numpy().astype(np.float32)


def same_state(what, state, found):
    state = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    found = {k: np.asarray(v) for k, v in found.items() if not k.endswith("num_batches_tracked")}
    check(f"{what}: names", list(state) == list(found) or sorted(state) == sorted(found))
    for key, value in state.items():
        check(f"{what}: {key}", value.numpy().tobytes() == found[key].tobytes() and value.shape == found[key].shape)


def check_runtime(what, file, images, expected):
    """The checker accepts the model; ONNX Runtime computes the same, for a batch and for one image."""
    onnx.checker.check_model(file, full_check=True)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (taken,), (given,) = session.get_inputs(), session.get_outputs()
    check(f"{what}: the batch is free", isinstance(taken.shape[0], str) and given.shape[1] == CLASSES)
    check_close(what, session.run(None, {taken.name: images})[0], expected, 1e-5)
    check_close(f"{what}, one image", session.run(None, {taken.name: images[:1]})[0],
                expected[:1], 1e-5 * np.abs(expected).max() / np.abs(expected[:1]).max())


# Left out: seven files of 180 to 530 MB each, of the same ops and names as their smaller relatives. (Images of 32x32 are also too
# small for VGG: its 7x7 pool would enlarge, which has no form in ONNX.)
LARGE = {"resnet101", "resnet152", "wide_resnet50_2", "vgg11_bn", "vgg13_bn"}
VARIANTS = {"kept.onnx": (), "folded.onnx": ("--fold",), "pixels.onnx": ("--normalise",),
            "folded_pixels.onnx": ("--fold", "--normalise")}


def check_network(name, channels):
    net = drawn(name, channels)
    torch.save({"model": net.state_dict()}, path("theirs.pth"))
    constants = [f"mean={','.join([str(MEAN)] * channels)}", f"std={','.join([str(STD)] * channels)}"]
    convert("theirs.pth", "ours.pth", f"network={name}", f"height={SIDE}", *constants)
    convert("ours.pth", "ours.safetensors")
    for variant, flags in VARIANTS.items():
        convert("ours.safetensors", variant, *flags)
    images, ours = our_logits(channels, "theirs.pth", "ours.pth", "ours.safetensors", *VARIANTS)
    expected = torch_logits(net, images)
    for file, logits in ours.items():
        check_close(f"{name}: {file} here", logits, expected, 1e-5)

    # The same names and bits give the same logits.
    loaded = torch.load(path("ours.pth"), weights_only=True)["model"]
    same_state(f"{name}: ours.pth", net.float().state_dict(), loaded)
    net.load_state_dict(loaded)
    same_state(f"{name}: ours.safetensors", net.state_dict(), load_file(path("ours.safetensors")))
    same_state(f"{name}: ours.safetensors", net.state_dict(), load_file_torch(path("ours.safetensors")))
    pixels = images * np.float32(STD) + np.float32(MEAN)
    for variant in VARIANTS:
        check_runtime(f"{name}: {variant}", path(variant), pixels if "pixels" in variant else images, expected)


def check_foreign(name, channels, exporter, **options):
    """A model as PyTorch exports it, here as a teacher."""
    net = drawn(name, channels)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(net, (torch.zeros(2, channels, SIDE, SIDE),), path("foreign.onnx"), input_names=["images"],
                          verbose=False, **options)
    images, ours = our_logits(channels, "foreign.onnx")
    check_close(f"{name} from {exporter}", ours["foreign.onnx"], torch_logits(net, images), 1e-5)


if __name__ == "__main__":
    torch.set_num_threads(2)
    families = []  # `ctkd models` prints a title for each, then a table with a head
    for line in run(CTKD, "models").splitlines():
        word = line.split()[0]
        if not line.startswith("  "):
            families.append([])
        elif word != "name":
            families[-1].append(word)
    listed = [name for family in families for name in family]
    check("networks are listed", listed and all(families))
    check(f"no PyTorch model for {set(listed) - set(networks.NETWORKS)}", set(listed) <= set(networks.NETWORKS))
    for i, network in enumerate(listed):
        if network not in LARGE:
            check_network(network, (1, 3)[i % 2])
    for network in (network for network, *_ in families if network not in LARGE):
        batch = torch.export.Dim("batch", min=1, max=1024)
        check_foreign(network, 3, "torch.onnx, traced", dynamo=False, dynamic_axes={"images": {0: "n"}})
        check_foreign(network, 3, "torch.onnx, of constant size", dynamo=False)
        check_foreign(network, 3, "torch.onnx, exported", dynamo=True, external_data=False,
                      dynamic_shapes=({0: batch},))
    print(f"{len(listed)} networks, {checks} checks passed")
