# Writes checkpoints of many kinds with PyTorch 2.13 and, into pth.txt, the values they hold.
import argparse
import collections
import io
import pathlib
import zipfile

import torch

folder = str(pathlib.Path(__file__).parent)
torch.manual_seed(1)
base = torch.randn(3, 4)
state = collections.OrderedDict(
    {
        "conv.weight": torch.nn.Parameter(torch.randn(2, 3, 1, 2)),
        "transposed": base.t(),
        "shared": base[1:, 1:3],
        "expanded": torch.tensor([[1.5], [-2.0]]).expand(2, 3),
        "half": torch.tensor([1.0, -0.333, 65504.0, 6e-8, 0.0, 1e-5]).half(),
        "bfloat16": torch.randn(5).bfloat16(),
        "double": torch.randn(2, 2, dtype=torch.float64),
        "int": torch.tensor([-3, 70000], dtype=torch.int32),
        "short": torch.tensor([-3, 7], dtype=torch.int16),
        "char": torch.tensor([-3, 7], dtype=torch.int8),
        "byte": torch.tensor([3, 255], dtype=torch.uint8),
        "bool": torch.tensor([True, False]),
        "long": torch.tensor([1 << 40]),
        "empty": torch.zeros(0, 3),
        "bn.num_batches_tracked": torch.tensor(12345678901),
    }
)
with open(folder + "/pth.txt", "w") as out:
    for name, tensor in state.items():
        values = tensor.detach().float().reshape(-1).tolist()
        print(name, len(values), *["%.9g" % v for v in values], file=out)

wrapped = {
    "epoch": 7,
    "opt": argparse.Namespace(lr=0.05, milestones=[150, 180]),
    "optimizer": {"state": {0: {"momentum_buffer": torch.randn(3)}}, "param_groups": [{"lr": 0.1}]},
    "best_acc": torch.tensor(71.5),
    "model": collections.OrderedDict(("module." + k, v) for k, v in state.items()),
    "accuracy": 71.25,
    "done": True,
    "name": "Zürich",
}
torch.save(wrapped, folder + "/zip.pth")
torch.save(wrapped, folder + "/legacy.pth", _use_new_zipfile_serialization=False)
torch.save({"run": {"weights": dict(state)}}, folder + "/nested.pth", pickle_protocol=5)
torch.save(state, folder + "/plain.pth", pickle_protocol=4, _use_new_zipfile_serialization=False)
torch.save(
    {"model": {"module.student." + k: v for k, v in state.items()}
     | {"module.teacher.fc.bias": torch.ones(2), "module.conv_reg.bias": torch.ones(1)}},
    folder + "/distiller.pth",
)
memory = io.BytesIO()
torch.save(state, memory)
with zipfile.ZipFile(memory) as stored, zipfile.ZipFile(
    folder + "/deflated.pth", "w", zipfile.ZIP_DEFLATED
) as deflated:
    for entry in stored.infolist():
        with deflated.open(entry.filename, "w", force_zip64=True) as out:
            out.write(stored.read(entry))
zipfile.ZIP64_LIMIT = 10  # sizes and offsets beyond go into the fields of zip64, as beyond 4 GiB
with zipfile.ZipFile(memory) as stored, zipfile.ZipFile(folder + "/zip64.pth", "w") as large:
    for entry in stored.infolist():
        large.writestr(entry.filename, stored.read(entry))
for name in "zip", "nested", "distiller":  # pickles alone, for the fuzz target that wraps them
    with zipfile.ZipFile(folder + "/" + name + ".pth") as file:
        pickled = next(entry for entry in file.namelist() if entry.endswith("/data.pkl"))
        with open(folder + "/pth_zip/" + name + ".pkl", "wb") as out:
            out.write(file.read(pickled))
