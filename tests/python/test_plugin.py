"""ctkd.Plugin: the golden course, evaluate and apply apart, state, and what is refused."""
import copy
import pickle

import golden
import numpy as np
import pytest

import ctkd

GOLDEN = golden.read("temperature.txt")
STEPS, N, K = 10, 6, 9
S, T = (GOLDEN[key].reshape(STEPS, N, K).astype(np.float32) for key in "st")
LABELS = GOLDEN["labels"].reshape(STEPS, N).astype(np.int64)


def golden_plugin():
    return ctkd.Plugin(N, K, method="dkd", method_weight=0.5, method_options={"beta": 2})


def test_ten_steps_follow_pytorch():
    plugin = golden_plugin()
    for i in range(STEPS):
        if i == 6:
            plugin.set_learning_rate(0.005)
        got = plugin.evaluate(S[i], T[i], LABELS[i], epoch=2 * i + 1)
        assert got.loss == pytest.approx(GOLDEN["global.loss"][i], rel=1e-6)
        assert got.report["tau_mean"] == pytest.approx(GOLDEN["global.tau"][i], rel=1e-6)
        assert got.report["loss_method"] == pytest.approx(GOLDEN["global.dkd"][i], rel=1e-6)
        np.testing.assert_allclose(got.ds, GOLDEN["global.ds"].reshape(STEPS, N, K)[i], rtol=1e-5, atol=1e-7)
        plugin.apply(got.dtheta)
    assert plugin.theta[0] == pytest.approx(GOLDEN["global.theta_after"][0], rel=1e-6)


def test_evaluation_moves_nothing_and_state_resumes():
    plugin, other = golden_plugin(), golden_plugin()
    before = plugin.state()
    for _ in range(5):
        plugin.evaluate(S[0], T[0], LABELS[0], epoch=3)
    assert plugin.state() == before
    plugin.apply(plugin.evaluate(S[0], T[0], LABELS[0], epoch=3).dtheta)
    other.restore(plugin.state())
    for p in (plugin, other):
        p.apply(p.evaluate(S[1], T[1], LABELS[1], epoch=4).dtheta)
    assert plugin.state() == other.state() != before


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda plugin: pickle.loads(pickle.dumps(plugin))])
def test_a_copy_is_a_plugin_of_its_own(again):
    plugin = golden_plugin()
    plugin.apply(plugin.evaluate(S[0], T[0], LABELS[0], epoch=3).dtheta)
    plugin.set_learning_rate(0.2)
    before = plugin.state()
    copied = again(plugin)
    assert copied.state() == before
    copied.apply(copied.evaluate(S[1], T[1], LABELS[1], epoch=4).dtheta)
    assert plugin.state() == before
    plugin.apply(plugin.evaluate(S[1], T[1], LABELS[1], epoch=4).dtheta)
    assert plugin.state() == copied.state()
    after = plugin.state()
    del copied  # frees its own memory alone
    assert plugin.state() == after


def test_settings_may_be_numbers_of_numpy():
    settings = {"learning_rate": 0.25, "curriculum_epochs": 3, "temperature.set_bias": True}
    plain, numpy = ctkd.Plugin(N, K, **settings), ctkd.Plugin(N, K, **{
        "learning_rate": np.float64(0.25), "curriculum_epochs": np.int32(3), "temperature.set_bias": np.bool_(True)})
    for plugin in (plain, numpy):
        plugin.apply(plugin.evaluate(S[0], T[0], LABELS[0], epoch=2).dtheta)
    assert plain.state() == numpy.state()


def test_soft_labels_masks_and_weights_reach_the_library():
    plugin = ctkd.Plugin(N, K)
    plain = plugin.evaluate(S[0], T[0], LABELS[0], epoch=1)
    soft = plugin.evaluate(S[0], T[0], soft_labels=np.eye(K)[LABELS[0]], epoch=1)
    assert soft.loss == pytest.approx(plain.loss, rel=1e-6)
    mask = np.arange(N) < 4
    masked = plugin.evaluate(S[0], T[0], LABELS[0], epoch=1, mask=mask)
    assert masked.report["counted"] == 4 and not masked.ds[4:].any()
    assert masked.loss == pytest.approx(plugin.evaluate(S[0][:4], T[0][:4], LABELS[0][:4], epoch=1).loss, rel=1e-6)
    twice = plugin.evaluate(S[0], T[0], LABELS[0], epoch=1, weights=np.full(N, 2.0))
    assert twice.loss == pytest.approx(2 * plain.loss, rel=1e-6)


@pytest.mark.parametrize("settings, text", [
    ({"temperature.kind": "gobal"}, "global"), ({"metod": "dkd"}, "method"), ({"method": "crd"}, "crd"),
    ({"method": "\N{SNOWMAN}" * 400}, "method"), ({"method": "x" + "\N{SNOWMAN}" * 400}, "method"),  # cut in a character
    ({"method": "xx" + "\N{SNOWMAN}" * 400}, "method"), ({"momentum": 1.5}, "momentum"), ({"method": "dkd", "method_options": {"beta": -1}}, "beta"),
])
def test_bad_settings_are_exceptions_that_say_what(settings, text):
    with pytest.raises(ctkd.Error, match=text):
        ctkd.Plugin(N, K, **settings)


@pytest.mark.parametrize("change, kind, text", [
    ({"epoch": 0}, ctkd.InvalidArgument, "epoch"), ({"labels": None}, ctkd.InvalidArgument, "labels"),
    ({"s": np.full((N, K), np.inf)}, ctkd.NotFinite, "finite"), ({"s": S[0][:3]}, ValueError, "shape"),
    ({"s": S[0][:0], "t": T[0][:0], "labels": []}, ValueError, "at least one sample"),
    ({"s": np.zeros((7, K)), "t": np.zeros((7, K)), "labels": [0] * 7}, ctkd.InvalidArgument, "6"),
])
def test_bad_batches_are_exceptions_that_say_what(change, kind, text):
    plugin = ctkd.Plugin(N, K)
    state = plugin.state()
    with pytest.raises(kind, match=text):
        plugin.evaluate(**{"s": S[0], "t": T[0], "labels": LABELS[0], "epoch": 1, **change})
    assert plugin.state() == state


def test_options_come_from_the_library():
    assert ctkd.options()["temperature.tau_span"]["default"] == 20
    assert ctkd.options()["curriculum"]["choices"][0] == "cosine"
