"""Golden values of the temperature modules and the plugin: PyTorch autograd and torch.optim.SGD in
double. Writes temperature.txt beside itself. PyTorch 2.13.0.

global: ten steps of the plugin's objective (CE, KD, DKD) over several epochs, learning rate cut on the way.
instance_*: the two-layer module under the KD loss alone, ten steps; input softmax or logits, gradient
into the student stopped or let through.
"""
import math
import pathlib

import torch
from losses import dkd, kd

torch.manual_seed(19990101)
out = open(pathlib.Path(__file__).with_suffix(".txt"), "w")
n, k, hidden, steps = 6, 9, 5, 10


def put(key, values):
    values = torch.as_tensor(values, dtype=torch.float64).reshape(-1).tolist()
    print(key, len(values), *("%.9g" % v for v in values), file=out)


def cosine(epoch, end=10):
    return (1 - math.cos(math.pi * min(epoch, end) / end)) / 2


class Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, strength):
        ctx.strength = strength
        return x.clone()

    @staticmethod
    def backward(ctx, g):
        return -ctx.strength * g, None


def floats(x):
    return x.float().double()


s_all, t_all = floats(torch.randn(steps, n, k) * 2), floats(torch.randn(steps, n, k) * 4)
y_all = torch.randint(0, k, (steps, n))
put("s", s_all)
put("t", t_all)
put("labels", y_all)


def f32(x):
    """A setting that C holds as a float."""
    return float(torch.tensor(x, dtype=torch.float32))


def run_global():
    theta = torch.tensor([1.0], dtype=torch.float64, requires_grad=True)
    sgd = torch.optim.SGD([theta], lr=f32(0.05), momentum=f32(0.9), weight_decay=f32(5e-4))
    rows = {"tau": [], "theta": [], "gradient": [], "loss": [], "ce": [], "kd": [], "dkd": [], "ds": []}
    for i in range(steps):
        if i == 6:
            sgd.param_groups[0]["lr"] = f32(0.005)
        s, y = s_all[i].clone().requires_grad_(), y_all[i]
        tau = 1 + 20 * torch.sigmoid(Reverse.apply(theta, cosine(2 * i + 1)))
        each = tau.view(1, 1).expand(n, 1)
        parts = (torch.nn.functional.cross_entropy(s, y), kd(s, t_all[i], each, False),
                 dkd(s, t_all[i], y, each, 1.0, 2.0))
        loss = f32(0.1) * parts[0] + f32(0.9) * parts[1] + 0.5 * parts[2]
        sgd.zero_grad()
        loss.backward()
        for key, value in zip(rows, (tau.item(), theta.item(), theta.grad.item(), loss.item(),
                                     *(p.item() for p in parts), s.grad.clone())):
            rows[key].append(value)
        sgd.step()
    put("global.theta_after", theta.detach())
    for key, values in rows.items():
        put(f"global.{key}", torch.stack(values) if key == "ds" else values)


def run_instance(name, from_logits, through):
    w1 = floats(torch.rand(hidden, 2 * k) - 0.5).requires_grad_()
    b1 = floats(torch.rand(hidden) - 0.2).requires_grad_()
    w2 = floats(torch.rand(hidden) - 0.5).requires_grad_()
    b2 = floats(torch.rand(1)).requires_grad_()
    parameters = [w1, b1, w2, b2]

    def flat(grad=False):
        return torch.cat([(p.grad if grad else p.detach()).reshape(-1) for p in parameters])

    put(f"{name}.start", flat())
    sgd = torch.optim.SGD(parameters, lr=0.5, momentum=f32(0.9), weight_decay=f32(5e-4))
    taus = []
    for i in range(steps):
        s, t = s_all[i].clone().requires_grad_(), t_all[i]
        s_in = s if through else s.detach()
        x = torch.cat([t, s_in] if from_logits else [torch.softmax(t, 1), torch.softmax(s_in, 1)], 1)
        theta = torch.relu(x @ w1.T + b1) @ w2 + b2
        tau = 1 + 20 * torch.sigmoid(Reverse.apply(theta, cosine(i + 1)))
        sgd.zero_grad()
        kd(s, t, tau.view(n, 1), True).backward()
        taus.append(tau.detach())
        if i == 3:
            put(f"{name}.ds", s.grad)
            put(f"{name}.gradient", flat(True))
        sgd.step()
    put(f"{name}.tau", torch.stack(taus))
    put(f"{name}.after", flat())


run_global()
run_instance("instance", False, False)
run_instance("instance_through", False, True)
run_instance("instance_logits", True, False)
run_instance("instance_logits_through", True, True)
