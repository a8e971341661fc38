"""CTKDLoss: values, gradients, who moves theta and when, and PyTorch's own checks of an operator."""
import copy
import io
import threading

import golden
import numpy as np
import pytest

torch = pytest.importorskip("torch")
import torch.nn.functional as F

import ctkd
from ctkd.torch import CTKDLoss, _formulas, _library_kernel
from ctkd.torch._settings import text_of

GOLDEN = golden.read("temperature.txt")
STEPS, N, K = 10, 6, 9
S, T = (torch.tensor(GOLDEN[key].reshape(STEPS, N, K), dtype=torch.float32) for key in "st")
LABELS = torch.tensor(GOLDEN["labels"].reshape(STEPS, N), dtype=torch.int64)


def leaf(x):
    return x.clone().requires_grad_()


@pytest.mark.parametrize("backend", ["auto", "torch"])
def test_the_course_of_theta_is_the_golden_one(backend):
    criterion = CTKDLoss(method="dkd", method_weight=0.5, method_options={"beta": 2}, backend=backend)
    for i in range(STEPS):
        if i == 6:
            criterion.learning_rate = 0.005
        s = leaf(S[i])
        assert criterion.tau == pytest.approx(GOLDEN["global.tau"][i], rel=1e-6)
        loss = criterion(s, T[i], LABELS[i], epoch=2 * i + 1)
        loss.backward()
        assert loss.item() == pytest.approx(GOLDEN["global.loss"][i], rel=1e-6)
        assert criterion.report["theta_gradient"] * -criterion.report["lambda"] == pytest.approx(
            GOLDEN["global.gradient"][i], rel=1e-5)
        np.testing.assert_allclose(s.grad, GOLDEN["global.ds"].reshape(STEPS, N, K)[i], rtol=1e-5, atol=1e-7)
    assert criterion.theta.item() == pytest.approx(GOLDEN["global.theta_after"][0], rel=1e-6)


@pytest.mark.parametrize("temperature", ["global", "instance"])
def test_three_epochs_move_theta_as_the_library_does(temperature):
    kind = {"temperature.kind": temperature}
    plugin, criterion = ctkd.Plugin(N, K, **kind), CTKDLoss(temperature, classes=K)
    for epoch in (1, 2, 3):
        for i in range(STEPS):
            plugin.apply(plugin.evaluate(S[i], T[i], LABELS[i], epoch=epoch).dtheta)
            criterion(leaf(S[i]), T[i], LABELS[i], epoch=epoch).backward()
            assert criterion.theta.numpy().tobytes() == plugin.theta.tobytes(), (epoch, i)


EVALUATIONS = [
    ({}, {}, {}), ({"temperature.kind": "fixed"}, {}, {}), ({"kd_form": "epsilon"}, {}, {}),
    ({"temperature.kind": "instance", "temperature.seed": 3}, {}, {}),
    ({"temperature.kind": "instance", "temperature.hidden": 5, "temperature.through": True}, {}, {}),
    ({"temperature.kind": "instance", "temperature.from_logits": True, "temperature.through": True}, {}, {}),
    ({"method": "dkd", "method_weight": 0.5}, {"alpha": 2.0, "beta": 3.0}, {}),
    ({"method": "kd", "method_weight": 0.5}, {"form": "epsilon"}, {}),
    ({}, {}, {"mask"}), ({"temperature.kind": "instance"}, {}, {"mask", "weights"}), ({}, {}, {"soft"}),
    ({"method": "dkd", "method_weight": 0.5}, {}, {"mask", "weights", "ignored"}), ({"curriculum_steps": 7}, {}, {}),
    ({"curriculum_steps": 7, "curriculum": "linear"}, {}, {}), ({"curriculum": "none", "lambda_max": 2.0}, {}, {}),
    ({"curriculum_steps": 3, "curriculum": "linear_official"}, {}, {"empty"}),
    ({"temperature.kind": "instance"}, {}, {"empty"}),
    *(({"method": name, "method_weight": 0.5, "temperature.kind": kind}, options, batch) for name, options in (
        ("lskd", {}), ("lskd", {"base": "dkd", "beta": 2.0}), ("ttm", {}), ("wttm", {"exponent": 0.5}), ("dist", {}),
        ("dist", {"inter": 2.0, "intra": 0.5}), ("mlkd", {}), ("mlkd", {"mask": True, "standardise": True}))
      for kind, batch in (("global", {}), ("instance", {"mask"}), ("global", {"one"}), ("global", {"empty"}))),
    *(({"method": name, "method_weight": 0.5}, {}, {"weights", "ignored"}) for name in ("lskd", "ttm", "wttm")),
]


@pytest.mark.parametrize("settings, options, batch", EVALUATIONS)
@pytest.mark.parametrize("scale", [1, 8])
def test_operations_of_pytorch_agree_with_the_library(settings, options, batch, scale):
    s, t, labels = S[0] * scale, T[0] * scale, LABELS[0].clone()
    if "ignored" in batch:
        labels[2] = -100
    mask = torch.arange(N) != 1 if "mask" in batch else torch.zeros(N, dtype=torch.bool) if "empty" in batch else None
    mask = torch.arange(N) == 1 if "one" in batch else mask
    weights = torch.linspace(0.5, 2, N) if "weights" in batch else None
    soft = torch.softmax(T[1], 1) if "soft" in batch else None
    text = text_of({"ignored_label": -100, **settings}, options, "auto")
    theta = torch.tensor(ctkd.Plugin(1, K, **settings).theta)
    arguments = (s, t, None if soft is not None else labels, soft, mask, weights, theta, torch.tensor(4), text, 3, True)
    for got, expected in zip(_formulas.evaluate(*arguments), _library_kernel.evaluate(*arguments)):
        assert got.dtype == expected.dtype and got.shape == expected.shape
        torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-6 * max(1.0, float(expected.abs().max() if expected.numel() else 0)))


@pytest.mark.parametrize("backend", ["auto", "torch"])
@pytest.mark.parametrize("temperature", ["global", "instance", 4.0])
def test_gradcheck(temperature, backend):
    criterion = CTKDLoss(temperature, classes=K, method="dkd", backend=backend).eval()
    if temperature == "instance":  # no gradient goes through the temperatures: let them depend on the teacher alone
        criterion.theta[: 2 * K * K].view(K, 2 * K)[:, K:] = 0
    # Single precision inside: a step of 1e-2 and what is left of the third derivative.
    assert torch.autograd.gradcheck(lambda s: criterion(s, T[0], LABELS[0]).double(), leaf(S[0].double()), eps=1e-2,
                                    atol=2e-3, rtol=1e-2)


def test_opcheck():
    text = text_of({"temperature.kind": "global"}, {}, "auto")
    for s, theta in ((leaf(S[0]), torch.ones(1)), (S[0], leaf(torch.ones(1))), (leaf(S[0].half()), torch.ones(1))):
        arguments = (s, theta, T[0], LABELS[0], None, None, None, torch.tensor(0), text, 3, True, 0)
        torch.library.opcheck(torch.ops.ctkd.evaluate.default, arguments)
    torch.library.opcheck(torch.ops.ctkd.pull.default, (S[0], torch.tensor(2.0), S[0], torch.ones(1), 0))


@pytest.mark.parametrize("backend", ["aot_eager", "inductor"])
def test_compiled_whole_it_is_the_same(backend):
    torch._dynamo.reset()
    layer = torch.nn.Linear(K, K)
    plain, compiled_loss = CTKDLoss(method="dkd"), CTKDLoss(method="dkd")

    def step(x, t, y, epoch):
        return compiled_loss(layer(x), t, y, epoch=epoch)

    compiled = torch.compile(step, fullgraph=True, backend=backend)
    for i in range(6):
        layer.zero_grad()
        expected = plain(layer(S[i]), T[i], LABELS[i], epoch=i + 1)
        expected.backward()
        wanted = layer.weight.grad.clone()
        layer.zero_grad()
        loss = compiled(S[i], T[i], LABELS[i], i + 1)
        loss.backward()
        torch.testing.assert_close(loss, expected)
        torch.testing.assert_close(layer.weight.grad, wanted)
        torch.testing.assert_close(compiled_loss.theta, plain.theta)
        assert compiled_loss.report["lambda"] == plain.report["lambda"]
    assert plain.theta.item() != 1.0


def test_theta_moves_in_training_backward_passes_alone():
    criterion = CTKDLoss()
    bits = criterion.theta.numpy().tobytes()
    s = leaf(S[0])
    criterion(s, T[0], LABELS[0], epoch=3)  # no backward pass
    with torch.no_grad():
        for _ in range(5):
            criterion(s, T[0], LABELS[0], epoch=3)
    criterion.eval()
    for _ in range(5):
        criterion(s, T[0], LABELS[0]).backward()
    assert criterion.theta.numpy().tobytes() == bits
    criterion.train()(s, T[0], LABELS[0], epoch=3).backward()
    assert criterion.theta.numpy().tobytes() != bits


def test_every_backward_pass_of_several_threads_moves_theta():
    criterion = CTKDLoss()

    def passes():
        for _ in range(100):
            criterion(leaf(S[0]), T[0], LABELS[0], epoch=3).backward()

    threads = [threading.Thread(target=passes) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert criterion.moves == 400


def test_a_loss_scale_scales_the_students_gradient_alone():
    plain, scaled = CTKDLoss(), CTKDLoss()
    s, other = leaf(S[0]), leaf(S[0])
    plain(s, T[0], LABELS[0], epoch=3).backward()
    (1024 * scaled(other, T[0], LABELS[0], epoch=3)).backward()
    torch.testing.assert_close(other.grad, 1024 * s.grad)
    assert scaled.theta.equal(plain.theta)
    (float("inf") * scaled(other, T[0], LABELS[0], epoch=3)).backward()  # a step that a GradScaler skips
    assert scaled.theta.equal(plain.theta) and scaled.moves == 1


@pytest.mark.parametrize("train_temperature", ["self", "optimizer"])
def test_two_accumulated_halves_are_one_whole(train_temperature):
    whole = CTKDLoss(train_temperature=train_temperature)
    halves = CTKDLoss(train_temperature=train_temperature, accumulate=2)
    optimizers = [torch.optim.SGD(c.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
                  for c in (whole, halves) if train_temperature == "optimizer"]
    for i in range(3):
        s, other = leaf(S[i]), leaf(S[i])
        whole(s, T[i], LABELS[i], epoch=i + 1).backward()
        for half in (slice(0, 3), slice(3, 6)):
            (halves(other[half], T[i][half], LABELS[i][half], epoch=i + 1) / 2).backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        torch.testing.assert_close(other.grad, s.grad)
        torch.testing.assert_close(halves.theta, whole.theta, rtol=1e-6, atol=1e-7)
        assert halves.moves == whole.moves == i + 1
    assert whole.theta.item() != 1.0


def test_an_optimizer_moves_theta_as_it_moves_itself():
    own, given = CTKDLoss(), CTKDLoss(train_temperature="optimizer")
    sgd = torch.optim.SGD(given.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
    for i in range(STEPS):
        own(leaf(S[i]), T[i], LABELS[i], epoch=i + 1).backward()
        sgd.zero_grad()
        given(S[i], T[i], LABELS[i], epoch=i + 1).backward()
        sgd.step()
        torch.testing.assert_close(given.theta.detach(), own.theta, rtol=2e-6, atol=1e-6)


def test_state_dict_and_copies_resume():
    criterion = CTKDLoss(accumulate=2, curriculum_steps=5)
    for i in range(3):
        criterion(leaf(S[i]), T[i], LABELS[i]).backward()
    memory = io.BytesIO()
    torch.save(criterion.state_dict(), memory)
    memory.seek(0)
    loaded, copied = CTKDLoss(accumulate=2, curriculum_steps=5), copy.deepcopy(criterion)
    loaded.load_state_dict(torch.load(memory, weights_only=True))
    for i in range(3, 6):
        for each in (criterion, loaded, copied):
            each(leaf(S[i]), T[i], LABELS[i]).backward()
        assert criterion.theta.equal(loaded.theta) and criterion.theta.equal(copied.theta)
    assert criterion.moves == 3 and criterion.theta.item() != 1.0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_logits_are_read_as_they_are(dtype):
    layer = torch.nn.Linear(K, K)
    criterion = CTKDLoss()
    with torch.autocast("cpu", dtype=dtype):
        logits = layer(S[0])
        loss = criterion(logits, T[0], LABELS[0], epoch=3)
    assert logits.dtype == dtype and loss.dtype == torch.float32
    loss.backward()
    assert loss.item() == CTKDLoss()(logits.float().detach(), T[0], LABELS[0], epoch=3).item()
    assert torch.isfinite(layer.weight.grad).all() and layer.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("numbers", [np.float64, np.float32, torch.tensor])
def test_settings_may_be_numbers_of_numpy_and_pytorch(numbers):
    plain, given = (CTKDLoss(curriculum_epochs=4, learning_rate=x(0.5), lambda_max=x(2.0), method="dkd", method_options={
        "beta": x(3.0)}) for x in (float, numbers))
    for criterion in (plain, given):
        criterion(leaf(S[0]), T[0], LABELS[0], epoch=2).backward()
    assert plain.theta.equal(given.theta) and plain.report == given.report


@pytest.mark.parametrize("default", [{"dtype": torch.float64}, {"device": "meta"}])
def test_defaults_of_pytorch_do_not_reach_the_library(default):
    criterion, s = CTKDLoss(), leaf(S[0])
    expected = criterion(s, T[0], LABELS[0], epoch=3)
    report = criterion.report
    (set_default, value), = ((getattr(torch, f"set_default_{name}"), value) for name, value in default.items())
    old = torch.get_default_dtype() if "dtype" in default else torch.get_default_device()
    set_default(value)
    try:
        loss = criterion(s, T[0], LABELS[0], epoch=3)
        loss.backward()
    finally:
        set_default(old)
    assert loss.equal(expected) and loss.dtype == expected.dtype and criterion.report == report


@pytest.mark.parametrize("backend", ["auto", "torch"])
@pytest.mark.parametrize("mask", [torch.full((N,), 256), torch.full((N,), 0.5), torch.ones(N, dtype=torch.bool)])
def test_every_mask_but_zero_counts(mask, backend):
    criterion = CTKDLoss(backend=backend)
    loss = criterion(S[0], T[0], LABELS[0], epoch=3, mask=mask)
    torch.testing.assert_close(loss, criterion(S[0], T[0], LABELS[0], epoch=3))


@pytest.mark.parametrize("change", [
    {"target": LABELS[0] + K - 1}, {"target": LABELS[0] - K}, {"target": torch.softmax(T[1], 1) - 0.5},
    {"weights": torch.linspace(-0.5, 1, N)},
])
def test_where_an_exception_would_wait_for_the_device_the_loss_is_nan(change):
    arguments = {"student_logits": leaf(S[0]), "teacher_logits": T[0], "target": LABELS[0], "epoch": 3, **change}
    with pytest.raises(ctkd.Error):
        CTKDLoss()(**arguments)
    criterion = CTKDLoss(backend="torch")
    loss = criterion(**arguments)
    loss.backward()
    assert loss.isnan() and criterion.theta.item() == 1.0
    left_out = criterion(**arguments, mask=torch.zeros(N))
    assert left_out.item() == 0.0


def test_half_of_a_model_leaves_theta_alone():
    criterion = CTKDLoss("instance", classes=K)
    before = criterion.theta.clone()
    assert criterion.half().theta.equal(before) and criterion.double().theta.equal(before)


@pytest.mark.parametrize("backend", ["auto", "torch"])
def test_every_method_of_the_library_backpropagates(backend):
    for method in ctkd.methods():
        s = leaf(S[0])
        criterion = CTKDLoss(4.0, kd_weight=0, ce_weight=0, method=method.name, method_weight=1, backend=backend)
        criterion(s, T[0], LABELS[0]).backward()
        np.testing.assert_allclose(s.grad, ctkd.loss(method.name, S[0], T[0], 4, LABELS[0]).ds, rtol=1e-6, atol=1e-8)


def test_with_a_fixed_temperature_it_is_kl_div():
    s, other = leaf(S[0]), leaf(S[0])
    loss = CTKDLoss(4.0, ce_weight=0.5, kd_weight=2)(s, T[0], LABELS[0])
    expected = 0.5 * F.cross_entropy(other, LABELS[0]) + 2 * 16 * F.kl_div(
        F.log_softmax(other / 4, 1), F.softmax(T[0] / 4, 1), reduction="batchmean")
    loss.backward(), expected.backward()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(s.grad, other.grad)


def test_second_derivatives_are_refused_with_a_sentence():
    for function in (CTKDLoss(4.0), torch.compile(CTKDLoss(4.0), fullgraph=True, backend="eager")):
        s = leaf(S[0])
        gradient, = torch.autograd.grad(function(s, T[0], LABELS[0]), s, create_graph=True)
        with pytest.raises(RuntimeError, match="first derivatives only"):
            gradient.sum().backward()


@pytest.mark.parametrize("settings, kind, text", [
    ({"temperature": "gobal"}, ValueError, "gobal"), ({"temperature": "instance"}, ValueError, "classes"),
    ({"temperature": -1.0}, ctkd.Error, "tau"), ({"curriculum": "cosin"}, ctkd.Error, "cosine"),
    ({"method": "dkb"}, ctkd.NotFound, "dkb"), ({"method": "crd"}, ctkd.Error, "crd"),
    ({"train_temperature": "no"}, ValueError, "optimizer"), ({"accumulate": 0}, ValueError, "accumulate"),
    ({"momentum": 2.0}, ctkd.Error, "momentum"), ({"method": "dkd", "method_options": {"gamma": 1}}, ctkd.Error, "gamma"),
])
def test_bad_settings_are_refused(settings, kind, text):
    with pytest.raises(kind, match=text):
        CTKDLoss(**settings)


@pytest.mark.parametrize("backend", ["auto", "torch"])
@pytest.mark.parametrize("method, batch, text", [("dist", {"weights": torch.ones(N)}, "weights"),
                                                 ("lskd", {"target": torch.softmax(T[1], 1)}, "labels")])
def test_what_a_method_cannot_read_is_refused(method, batch, text, backend):
    with pytest.raises(ctkd.Error, match=text):
        CTKDLoss(method=method, backend=backend)(**{"student_logits": S[0], "teacher_logits": T[0], "target": LABELS[0],
                                                    "epoch": 1, **batch})


@pytest.mark.parametrize("change, kind, text", [
    ({"epoch": None}, TypeError, "epoch: found None"), ({"epoch": 0}, ctkd.Error, "epoch"),
    ({"teacher_logits": T[0][:3]}, ValueError, "shape"), ({"target": LABELS[0][:3]}, ValueError, "target"),
    ({"target": None}, ctkd.Error, "labels"), ({"target": LABELS[0] + K}, ctkd.Error, "label"),
    ({"student_logits": S[0] * float("nan")}, ctkd.NotFinite, "finite"), ({"mask": torch.ones(2)}, ValueError, "mask"),
])
def test_bad_batches_are_refused(change, kind, text):
    arguments = {"student_logits": S[0], "teacher_logits": T[0], "target": LABELS[0], "epoch": 1, **change}
    with pytest.raises(kind, match=text):
        CTKDLoss()(**arguments)


@pytest.mark.parametrize("change, kind, text", [
    ({"epoch": -1}, ctkd.Error, "epoch: found -1"), ({"epoch": 0}, ctkd.Error, "epoch: found 0"),
    ({"student_logits": S[0][:0], "teacher_logits": T[0][:0], "target": LABELS[0][:0]}, ctkd.Error, "at least one sample"),
    ({"student_logits": S[0].numpy()}, TypeError, "student_logits: found ndarray"),
    ({"target": LABELS[0].tolist()}, TypeError, "target: found list"),
    *(({name: x.to("meta")}, ValueError, f"{text}: found on meta, expected on cpu") for name, x, text in (
        ("teacher_logits", T[0], "teacher logits"), ("target", LABELS[0], "target"), ("target", T[0], "target"),
        ("mask", torch.ones(N), "mask"), ("weights", torch.ones(N), "weights"))),
])
@pytest.mark.parametrize("backend", ["auto", "torch"])
def test_bad_batches_are_refused_by_both(change, kind, text, backend):
    arguments = {"student_logits": S[0], "teacher_logits": T[0], "target": LABELS[0], "epoch": 1, **change}
    with pytest.raises(kind, match=text):
        CTKDLoss(backend=backend)(**arguments)


def test_a_criterion_on_another_device_is_refused():
    with pytest.raises(ValueError, match="theta: found on meta, expected on cpu"):
        CTKDLoss().to("meta")(S[0], T[0], LABELS[0], epoch=1)
