# Writes checkpoints as training libraries make them, with several sets of weights behind wrappers, with PyTorch 2.13.
# All values of a set are one number, so that nothing else says what was meant: tests/test_pth.c lists them.
import collections
import io
import pathlib
import zipfile

import torch

folder = str(pathlib.Path(__file__).parent)


class Net(torch.nn.Module):
    def __init__(self, value):
        super().__init__()
        self.conv1 = torch.nn.Conv2d(1, 2, 3, bias=False)
        self.bn1 = torch.nn.BatchNorm2d(2)
        self.fc = torch.nn.Linear(2, 3)
        with torch.no_grad():
            for tensor in self.state_dict().values():
                tensor.fill_(value)


def state(value, prefix=""):
    return collections.OrderedDict((prefix + k, v) for k, v in Net(value).state_dict().items())


class Distiller(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.teacher = Net(1)
        self.student = Net(2)
        self.conv_reg = torch.nn.Conv2d(2, 2, 1)
        self.criterion = torch.nn.Linear(2, 2)


def write(name, thing, **how):
    path = folder + "/sets_" + name + ".pth"
    torch.save(thing, path, **how)
    if how:
        return
    with zipfile.ZipFile(path) as file:  # the pickle alone, for the fuzz target that wraps it
        pickled = next(entry for entry in file.namelist() if entry.endswith("/data.pkl"))
        with open(folder + "/pth_zip/sets_" + name + ".pkl", "wb") as out:
            out.write(file.read(pickled))


optimizer = {"state": {0: {"momentum_buffer": torch.zeros(2, 1, 3, 3)}}, "param_groups": [{"lr": 0.1}]}
average = {
    "epoch": 3,
    "model_ema": collections.OrderedDict({"n_averaged": torch.tensor(5)} | state(2, "module.")),
    "model": state(1),
    "optimizer": optimizer,
    "criterion": {"weight": torch.ones(3, 2)},
}
write("average", average)
write("average_legacy", average, _use_new_zipfile_serialization=False)
write("lightning", {
    "epoch": 3,
    "pytorch-lightning_version": "2.0",
    "state_dict": state(1, "model._orig_mod.") | state(2, "ema_model.module.") | {"criterion.weight": torch.ones(3, 2)},
    "optimizer_states": [optimizer],
    "callbacks": {"EarlyStopping": {"best": torch.tensor(1.0)}},
})
write("distiller", {"state_dict": torch.nn.DataParallel(Distiller()).state_dict()})
write("module", torch.nn.DataParallel(Net(1)))
write("modules", {"model": Distiller(), "ema": Net(3), "epoch": 3})
tagged = state(1)
for key in tagged:
    if tagged[key].is_floating_point():
        tagged[key] = torch.nn.Parameter(tagged[key])
        tagged[key].group = "slow"  # an attribute, which the pickle carries
write("attributes", {"net": tagged})
