"""Every Python line of the documents runs as it stands there, and the temperature moves."""
import re

import golden
import pytest

torch = pytest.importorskip("torch")


def blocks(name):
    return re.findall(r"^```python\n(.*?)^```$", (golden.SOURCE / name).read_text(), re.M | re.S)


@pytest.mark.parametrize("name, count", [("README.md", 1), ("doc/plugin.md", 3), ("python/README.md", 1)])
def test_the_lines_run(name, count, tmp_path):
    torch.manual_seed(1)
    student, teacher = torch.nn.Linear(8, 10), torch.nn.Linear(8, 10)
    images, target = torch.randn(4, 16, 8), torch.randint(0, 10, (4, 16))
    names = {"student": student, "teacher": teacher, "loader": list(zip(images, target)), "epochs": 2, "epoch": 2,
             "optimizer": torch.optim.SGD(student.parameters(), 0.1), "checkpoint": str(tmp_path / "checkpoint"),
             "student_logits": student(images[0]), "teacher_logits": teacher(images[0]).detach(), "target": target[0]}
    found = blocks(name)
    assert len(found) == count
    before = student.weight.clone()
    for block in found:
        exec(compile(block, name, "exec"), names)
    assert names["criterion"].theta.item() != 1.0
    assert student.weight.grad is not None or not student.weight.equal(before)
