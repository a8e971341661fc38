"""CTKD as a Distiller of mdistiller, in a loop that does with it what mdistiller's trainer does. Runs on the CPU in seconds; needs
torch and ctkd, not mdistiller."""
import toy
import torch
from torch import nn

from ctkd.torch.adapters.mdistiller import CTKD


class WithFeatures(nn.Module):
    """mdistiller's networks give logits and features."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, image):
        features = self.network.body(image)
        return self.network.fc(features), {"pooled_feat": features}


def main(epochs=2):
    teacher = toy.trained_teacher()
    torch.manual_seed(4)
    student = toy.Network(8)
    distiller = CTKD(WithFeatures(student), WithFeatures(teacher), {"CTKD": {"CE_WEIGHT": 0.1, "KD_WEIGHT": 0.9}})
    optimizer = torch.optim.SGD(distiller.get_learnable_parameters(), lr=0.05, momentum=0.9)
    for epoch in range(1, epochs + 1):
        distiller.train()
        for image, target in toy.batches():
            optimizer.zero_grad()
            _, losses = distiller(image=image, target=target, epoch=epoch)
            sum(loss.mean() for loss in losses.values()).backward()
            optimizer.step()
        distiller.eval()
        image, target = toy.pictures(512, seed=3)
        with torch.no_grad():
            top1 = (distiller(image=image).argmax(1) == target).float().mean()
        print(f"epoch {epoch}: tau {distiller.criterion.tau:.3f}, top-1 {100 * top1:.1f}%")
    return student, distiller.criterion


if __name__ == "__main__":
    main()
