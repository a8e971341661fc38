"""Two processes of torch.distributed: equal temperatures, and those of the gradient's mean."""
import subprocess
import sys

import pytest

pytest.importorskip("torch")

PROGRAM = """
import os, sys, torch, torch.distributed as dist
from ctkd.torch import CTKDLoss
rank, file = int(sys.argv[1]), sys.argv[2]
torch.set_num_threads(1)
dist.init_process_group("gloo", init_method="file://" + file, rank=rank, world_size=2)
torch.manual_seed(1)
s, t, y = torch.randn(4, 8, 5), 3 * torch.randn(4, 8, 5), torch.randint(0, 5, (4, 8))
mine = slice(4 * rank, 4 * rank + 4)
model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(5, 5))
criterion = CTKDLoss()
for i in range(4):
    criterion(model(s[i, mine]), t[i, mine], y[i, mine], epoch=i + 1).backward()
weight = model.module.weight.grad.clone()
# The step of one rank alone is not finite: no rank moves.
before = criterion.theta.clone()
loss = criterion(model(s[0, mine]), t[0, mine], y[0, mine], epoch=5)
(loss * (float("inf") if rank == 1 else 1.0)).backward()
assert criterion.theta.equal(before)


class Both(torch.nn.Module):  # the criterion is a part of the model, whose buffers are rank 0's in each forward pass
    def __init__(self):
        super().__init__()
        self.net, self.criterion = torch.nn.Linear(5, 5), CTKDLoss(accumulate=2)

    def forward(self, i, rows):
        return self.criterion(self.net(s[i, rows]), t[i, rows], y[i, rows], epoch=i + 1)


torch.manual_seed(2)
both = torch.nn.parallel.DistributedDataParallel(Both())
for i in range(4):
    both(i, mine).backward()
dist.destroy_process_group()
torch.manual_seed(1)
torch.randn(4, 8, 5), torch.randn(4, 8, 5), torch.randint(0, 5, (4, 8))
alone, whole = torch.nn.Linear(5, 5), CTKDLoss()
alone.load_state_dict(model.module.state_dict())
for i in range(4):
    whole(alone(s[i]), t[i], y[i], epoch=i + 1).backward()
torch.testing.assert_close(criterion.theta, whole.theta, rtol=1e-6, atol=1e-6)
torch.testing.assert_close(weight, alone.weight.grad)
assert criterion.theta.item() != 1.0
torch.manual_seed(2)
alone = Both()
for i in range(4):
    alone(i, slice(0, 8)).backward()
torch.testing.assert_close(both.module.criterion.theta, alone.criterion.theta, rtol=1e-6, atol=1e-6)
assert alone.criterion.moves.item() == 2
print(criterion.theta.item().hex(), both.module.criterion.theta.item().hex(), flush=True)
# Past Python's own shutdown: gloo's threads live as long as the modules above, and one that asks for Python's lock then
# ends the process with "terminate called without an active exception" (seen once, on a machine under load).
os._exit(0)
"""


def test_two_ranks_have_the_temperature_of_the_whole_batch(tmp_path):
    ranks = [subprocess.Popen([sys.executable, "-c", PROGRAM, str(rank), str(tmp_path / "meeting")], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) for rank in range(2)]
    try:
        outputs = [rank.communicate(timeout=240) for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    assert [rank.returncode for rank in ranks] == [0, 0], outputs
    assert outputs[0][0] == outputs[1][0]
