"""Ten classes of noisy 8 x 8 pictures, and networks for them, so that the examples beside this file run in seconds."""
import torch
from torch import nn


def pictures(count, seed):
    generator = torch.Generator().manual_seed(seed)
    patterns = torch.randn(10, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    labels = torch.randint(0, 10, (count,), generator=generator)
    return 0.4 * patterns[labels] + torch.randn(count, 3, 8, 8, generator=generator), labels


class Network(nn.Sequential):
    def __init__(self, width):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, width, 3, stride=2), nn.ReLU(), nn.Flatten())
        self.fc = nn.Linear(9 * width, 10)


def trained_teacher():
    torch.manual_seed(1)
    teacher = Network(24)
    optimizer = torch.optim.Adam(teacher.parameters(), 1e-2)
    images, labels = pictures(640, seed=2)
    for _ in range(6):
        for batch in torch.arange(640).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(teacher(images[batch]), labels[batch]).backward()
            optimizer.step()
    return teacher.eval()


def accuracy(network):
    images, labels = pictures(512, seed=3)
    with torch.no_grad():
        return (network.eval()(images).argmax(1) == labels).float().mean().item()


def batches():
    """Ten of 64, those that the teacher was trained with."""
    images, labels = pictures(640, seed=2)
    return list(zip(images.split(64), labels.split(64)))
