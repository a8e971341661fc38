"""The adapters in the examples' loops, torchdistill's and timm's own among them: students and temperatures are those of a loop of
our own that calls CTKDLoss with the same batches."""
import sys

import golden
import pytest

torch = pytest.importorskip("torch")
sys.path.insert(0, str(golden.SOURCE / "examples/python"))
import toy
from torch import nn

from ctkd.torch import CTKDLoss
from ctkd.torch.adapters.mdistiller import CTKD
from ctkd.torch.adapters.repdistiller import CTKDCriterion

STEPS = 20


@pytest.fixture(scope="module")
def teacher():
    return toy.trained_teacher()


def own_loop(teacher, student, rate=0.05, clip=None):
    """Two epochs of ten steps."""
    criterion = CTKDLoss(ce_weight=0.1, kd_weight=0.9)
    optimizer = torch.optim.SGD(student.parameters(), lr=rate, momentum=0.9)
    for epoch in (1, 2):
        for images, labels in toy.batches():
            loss = criterion(student(images), teacher(images).detach(), labels, epoch=epoch)
            optimizer.zero_grad()
            loss.backward()
            if clip:
                nn.utils.clip_grad_norm_(student.parameters(), clip)
            optimizer.step()
    return student, criterion


def check(got, expected, tolerance=0.0):
    (student, criterion), (own_student, own_criterion) = got, expected
    assert criterion.moves == own_criterion.moves == STEPS and criterion.theta.item() != 1.0
    torch.testing.assert_close(criterion.theta, own_criterion.theta, rtol=tolerance, atol=tolerance)
    for mine, own in zip(student.parameters(), own_student.parameters()):
        torch.testing.assert_close(mine, own, rtol=tolerance, atol=tolerance)


@pytest.fixture
def own(teacher):
    torch.manual_seed(4)
    return own_loop(teacher, toy.Network(8))


def test_mdistillers_loop(own):
    import mdistiller_loop

    check(mdistiller_loop.main(), own)


def test_a_distiller_resumes_from_the_trainers_checkpoint(teacher):
    class Pair(nn.Module):
        def __init__(self, network):
            super().__init__()
            self.network = network

        def forward(self, image):
            return self.network(image), {}

    image, target = toy.batches()[0]
    distillers = [nn.DataParallel(CTKD(Pair(toy.Network(8)), Pair(teacher), {"CTKD": {"METHOD": "dkd"}}, ce_weight=0.5))
                  for _ in range(2)]
    distillers[0].train()
    assert not distillers[0].module.teacher.training
    logits, losses = distillers[0](image=image, target=target, epoch=3)
    sum(loss.mean() for loss in losses.values()).backward()
    assert logits.shape == (64, 10) and distillers[0].module.get_extra_parameters() == 1
    distillers[1].load_state_dict(distillers[0].state_dict())
    assert distillers[1].module.criterion.theta.equal(distillers[0].module.criterion.theta)
    assert distillers[1].module.criterion.theta.item() != 1.0
    assert distillers[1].eval()(image=image).shape == (64, 10)


def test_repdistillers_loop(own):
    import repdistiller_loop

    check(repdistiller_loop.main(), own, 1e-4)  # its cross-entropy is PyTorch's


def test_a_temperature_from_ctkds_loop_is_not_read():
    s, t = torch.randn(4, 10, requires_grad=True), 3 * torch.randn(4, 10)
    criterion = CTKDCriterion(curriculum_steps=5)
    assert criterion(s, t).item() == criterion(s, t, torch.full((1,), 4.0)).item() == CTKDLoss(
        ce_weight=0)(s, t, epoch=1).item()


def test_torchdistills_box(torchvision, own):
    pytest.importorskip("torchdistill")
    import torchdistill_box

    check(torchdistill_box.main(), own)


def test_torchdistill_accumulates(torchvision, teacher, monkeypatch):
    pytest.importorskip("torchdistill")
    import torchdistill_box

    whole = torchdistill_box.config

    def halves(epochs):
        config = whole(epochs)
        config["train_data_loader"]["kwargs"]["batch_size"] = 32
        config["optimizer"]["grad_accum_step"] = 2
        config["criterion"]["kwargs"]["sub_terms"]["ctkd"]["criterion"] = {
            "key": "CTKDLoss", "kwargs": {**torchdistill_box.CTKD_LOSS["kwargs"], "accumulate": 2}}
        return config

    expected = torchdistill_box.main()
    monkeypatch.setattr(torchdistill_box, "config", halves)
    check(torchdistill_box.main(), expected, 1e-4)


def test_timms_task(torchvision, teacher, tmp_path):
    timm = pytest.importorskip("timm")
    import timm_task
    from ctkd.torch.adapters.timm import CTKDTask

    student, criterion = timm_task.main(folder=str(tmp_path))
    torch.manual_seed(4)
    check((student, criterion), own_loop(teacher, timm.create_model("test_resnet", num_classes=10), 0.02, 5.0), 1e-5)

    task = CTKDTask(timm.create_model("test_resnet", num_classes=10), teacher, accumulate=2)
    assert timm.task.resume_task_checkpoint(task, str(tmp_path / "last.pth.tar"), log_info=False) == 2
    assert task.ctkd.theta.equal(criterion.theta) and task.ctkd.velocity.equal(criterion.velocity)
    task.ctkd.set_epoch(3)
    images, labels = toy.batches()[0]
    for _ in range(2):  # soft labels of mixup, and what train.py does to the loss when it accumulates
        loss = task(images, torch.nn.functional.one_hot(labels, 10).float().lerp(torch.tensor(0.1), 0.1))["loss"]
        loss /= 2
        loss.backward()
    assert task.ctkd.moves == STEPS + 1
