"""Losses by name against the golden values, arrays of every origin, and what is refused."""
import re

import golden
import numpy as np
import pytest

import ctkd
from ctkd import _library

LOSSES, METHODS = golden.read("losses.txt"), golden.read("methods.txt")
CASES = [("kd", LOSSES, "kd", {}), ("kd_epsilon", LOSSES, "kd", {"form": "epsilon"}), ("dkd", LOSSES, "dkd", {"alpha": 1.5, "beta": 6}),
         ("dist", METHODS, "dist", {}), ("lskd", METHODS, "lskd", {}), ("lskd_dkd", METHODS, "lskd", {"base": "dkd"})]


def batch(values, scale="1"):
    n = len(values[f"labels.{scale}"])
    return (values[f"s.{scale}"].reshape(n, -1).astype(np.float32), values[f"t.{scale}"].reshape(n, -1).astype(np.float32),
            values[f"labels.{scale}"].astype(np.int64))


def close(actual, expected, rtol=2e-6, atol=1e-7):
    expected = np.asarray(expected)
    np.testing.assert_allclose(np.asarray(actual, np.float64).ravel(), expected.ravel(), rtol,
                               atol * max(1, np.abs(expected).max()))


@pytest.mark.parametrize("key, values, name, options", CASES)
@pytest.mark.parametrize("tau", ["1", "4", "each"])
def test_values_and_gradients_are_those_of_pytorch(key, values, name, options, tau):
    s, t, labels = batch(values)
    taus = values[f"tau.{tau}"]
    if f"{key}.1.{tau}.loss" not in values:
        pytest.fail(f"no golden values {key}.1.{tau}")
    got = ctkd.loss(name, s, t, float(taus[0]) if tau != "each" else taus, labels, **options)
    for field in ("ds", "dt", "dtau"):
        close(getattr(got, field), values[f"{key}.1.{tau}.{field}"])
    close(got.value, values[f"{key}.1.{tau}.loss"])


def test_named_functions_are_the_losses_of_their_names():
    s, t, labels = batch(LOSSES)
    assert ctkd.kd(s, t, 3).value == ctkd.loss("kd", s, t, 3).value
    assert ctkd.dkd(s, t, labels, 3, beta=2).value == ctkd.loss("dkd", s, t, 3, labels, beta=2).value
    close(ctkd.cross_entropy(s, labels).ds, LOSSES["ce.1.ds"])
    soft = np.eye(s.shape[1], dtype=np.float32)[labels]
    close(ctkd.cross_entropy(s, soft).value, LOSSES["ce.1.loss"])


def test_every_method_listed_evaluates():
    s, t, labels = batch(LOSSES)
    names = [method.name for method in ctkd.methods()]
    assert {"kd", "dkd", "dist", "lskd", "ttm", "wttm", "mlkd"} <= set(names)
    assert "crd" not in names
    for name in names:
        got = ctkd.loss(name, s, t, 4, labels)
        h = np.zeros_like(s)
        h[1, 2] = 0.01
        slope = (ctkd.loss(name, s + h, t, 4, labels).value - ctkd.loss(name, s - h, t, 4, labels).value) / 0.02
        assert got.ds[1, 2] == pytest.approx(slope, rel=2e-2, abs=2e-4), name


class OnlyDLPack:
    """As JAX gives its arrays away."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def test_arrays_of_every_origin_give_the_same():
    torch = pytest.importorskip("torch")
    s, t, _ = batch(LOSSES)
    expected = ctkd.kd(s, t).value
    for make in (memoryview, OnlyDLPack, np.ndarray.tolist, np.asfortranarray, torch.tensor,
                 lambda x: torch.tensor(x, requires_grad=True), lambda x: torch.tensor(x).T.contiguous().T):
        assert ctkd.kd(make(s), make(t)).value == expected
    for dtype in (torch.float16, torch.bfloat16):
        half = torch.tensor(s).to(dtype)
        assert ctkd.kd(half, t).value == ctkd.kd(half.float(), t).value
    assert ctkd.kd(s.astype(np.float16), t).value == ctkd.kd(s.astype(np.float16).astype(np.float32), t).value


@pytest.mark.parametrize("change, kind, text", [
    ({"method": "dkb"}, ctkd.NotFound, 'unknown loss "dkb"'),
    ({"method": "crd"}, ctkd.InvalidArgument, "more than logits"),
    ({"t": np.zeros((6, 8))}, ValueError, r"teacher logits: found shape \[6, 8\], expected \[6, 9\]"),
    ({"tau": -1}, ctkd.InvalidArgument, "tau"),
    ({"tau": [1, 2]}, ctkd.InvalidArgument, "tau"),
    ({"labels": [0, 1, 2, 3, 4, 9]}, ctkd.InvalidArgument, "labels: found 9, expected 0 to 8"),
    ({"labels": [0.5] * 6}, TypeError, "labels: found float64"),
    ({"labels": None}, ctkd.InvalidArgument, "dkd needs labels"),
    ({"s": np.full((6, 9), np.nan)}, ctkd.NotFinite, "student logits"),
    ({"alhpa": 2}, ctkd.NotFound, "alpha"),
    ({"alpha": -2}, ctkd.InvalidArgument, "alpha"),
])
def test_bad_input_is_an_exception_that_says_what(change, kind, text):
    s, t, labels = batch(LOSSES)
    arguments = {"method": "dkd", "s": s, "t": t, "tau": 4, "labels": labels, **change}
    with pytest.raises(kind, match=text):
        ctkd.loss(**arguments)


STRUCTS = [("plugin.h", "ctkd_plugin_report", _library.Report), ("plugin.h", "ctkd_plugin_batch", _library.Batch),
           ("option.h", "ctkd_option", _library.Option), ("loss.h", "ctkd_loss_shape", _library.LossShape),
           ("loss.h", "ctkd_loss_args", _library.LossArgs), ("loss.h", "ctkd_loss_def", _library.LossDef)]


@pytest.mark.parametrize("header, name, struct", STRUCTS)
def test_structs_have_the_members_of_the_headers(header, name, struct):
    text = re.sub(r"/\*.*?\*/", "", (golden.SOURCE / "include/ctkd" / header).read_text(), flags=re.S)
    body = re.search(r"typedef struct %s \{(.*?)\n\} %s;" % (name, name), text, re.S).group(1)
    members = []
    for declaration in filter(str.strip, body.split(";")):
        function = re.search(r"\(\*(\w+)\)", declaration)
        members += [function.group(1)] if function else re.findall(r"(\w+)\s*(?:,|$)", declaration.strip())
    assert [field[0] for field in struct._fields_] == members


def test_the_version_is_the_headers():
    header = (golden.SOURCE / "include/ctkd/version.h").read_text()
    assert ctkd.__version__ == ".".join(re.findall(r"#define CTKD_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", header))
