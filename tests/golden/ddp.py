#!/usr/bin/env python3
"""Golden values of one step on several ranks, from PyTorch's DistributedDataParallel in float64.

  ddp.py  writes ddp.txt beside this file (made with PyTorch 2.13)

Two and four processes, connected by gloo, each have an equal part of a batch and a replica of the network: batch norms
see the images of their process alone, and DDP averages the gradients. That is a step with train.batch_norm_group =
batch / processes.

Parameters and pixels are drawn as in networks.py, and entries are as there, under NETWORK.PROCESSES.PARAMETER. Each
process moves running statistics of its own; r' = 0.9 r + 0.1 batch gives its batch's, and the entry has what comes of
r when the batches of all processes move it one after another, as our groups do. "smooth" has no ReLU, so that nothing
but rounding separates two programs; the seed of a network is that of up to TRIALS whose gradients noise on the pixels
moves least (see networks.py).
"""
import os
import socket

import torch
import torch.distributed
import torch.multiprocessing
import torch.nn as nn
import torch.nn.functional as F

import networks

IMAGES, TRIALS, PROCESSES = 16, 3, (2, 4)
CASES = (("smooth", 8), ("resnet8", 32), ("resnet18", 64))  # network, side of its images


class Smooth(networks.Network):
    def __init__(self):
        super().__init__()
        self.conv, self.bn = networks.conv3x3(3, 16), nn.BatchNorm2d(16)
        self.fc = nn.Linear(16, networks.CLASSES)

    def run(self, x):
        x = self.bn(self.conv(x))
        return self.fc((x * x).mean((2, 3))), {}


def prepare(name, side, seed):
    """The network with its drawn parameters, its state without num_batches_tracked, and the pixels."""
    net = (Smooth() if name == "smooth" else networks.build(name, 3, networks.CLASSES)).double()
    state = {k: v for k, v in net.state_dict().items() if not k.endswith("num_batches_tracked")}
    for index, (key, value) in enumerate(state.items()):
        value.copy_(networks.draw(seed, index, key, tuple(value.shape)))
    pixels = networks.normal(seed, networks.MAJOR_PIXELS, IMAGES * 3 * side * side)
    return net, state, torch.from_numpy(pixels.reshape(IMAGES, 3, side, side)).double()


def roughness(name, side, seed, group):
    net, _, x = prepare(name, side, seed)
    sizes = [group] * (IMAGES // group)
    gradients = networks.grouped_step(net, x, sizes)
    noise = torch.from_numpy(networks.normal(seed, networks.MAJOR_NOISE, x.numel()).reshape(x.shape)).double()
    moved = networks.grouped_step(net, x + 3e-6 * noise, sizes)
    return max(((moved[key] - value).norm() / value.norm()).item() for key, value in gradients.items())


def smoothest(name, side):
    if name == "smooth":
        return 1
    found = []
    for seed in range(1, TRIALS + 1):
        found.append((max(roughness(name, side, seed, IMAGES // p) for p in PROCESSES), seed))
        if found[-1][0] <= 1e-4:
            break
    print(f"{name}: gradients move by {min(found)[0]:.2g}", flush=True)
    return min(found)[1]


def process(rank, processes, port, name, side, seed, answers):
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=processes)
    net, state, x = prepare(name, side, seed)
    replica = nn.parallel.DistributedDataParallel(net.train(), broadcast_buffers=False)
    part = IMAGES // processes
    own = slice(rank * part, (rank + 1) * part)
    labels = torch.tensor([(7 * i + 3) % networks.CLASSES for i in range(IMAGES)])
    loss = F.cross_entropy(replica(x[own]), labels[own])
    loss.backward()
    gradients = {key: p.grad.numpy() for key, p in net.named_parameters()}
    answers.put((rank, loss.item(), gradients, {k: v.numpy() for k, v in state.items() if k not in gradients}))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def step(name, side, seed, processes):
    """Loss, gradients and running statistics, by name."""
    context = torch.multiprocessing.get_context("spawn")
    answers = context.SimpleQueue()
    started = torch.multiprocessing.start_processes(process, (processes, free_port(), name, side, seed, answers),
                                                    processes, join=False, start_method="spawn")
    found = sorted((answers.get() for _ in range(processes)), key=lambda answer: answer[0])
    while not started.join():
        pass
    _, before, _ = prepare(name, side, seed)
    state = {key: value.clone() for key, value in before.items()}
    for _, _, gradients, statistics in found:
        for key, value in gradients.items():
            assert (value == found[0][2][key]).all(), f"{key}: the processes have different gradients"
        for key, value in statistics.items():
            state[key] = 0.9 * state[key] + (torch.from_numpy(value) - 0.9 * before[key])
    return sum(answer[1] for answer in found) / processes, found[0][2], state


def main():
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "ddp.txt"), "w") as file:
        def write(key, values):
            file.write(f"{key} {len(values)} " + " ".join(f"{float(v):.9g}" for v in values) + "\n")

        for name, side in CASES:
            seed = smoothest(name, side)
            write(f"{name}.seed", [seed])
            for processes in PROCESSES:
                loss, gradients, state = step(name, side, seed, processes)
                write(f"{name}.{processes}.loss", [loss])
                for index, key in enumerate(state):
                    value = torch.from_numpy(gradients[key]) if key in gradients else state[key]
                    write(f"{name}.{processes}.{key}", networks.summary(seed, index, value))
                print(f"{name}, {processes} processes: loss {loss:.4f}", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
