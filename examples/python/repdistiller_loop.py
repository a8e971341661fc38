"""CTKD as `criterion_div` of RepDistiller, in a loop that calls it as RepDistiller does. Runs on the CPU in seconds; needs torch
and ctkd, not RepDistiller."""
import toy
import torch
from torch import nn

from ctkd.torch.adapters.repdistiller import CTKDCriterion


def main(epochs=2, gamma=0.1, alpha=1):
    teacher = toy.trained_teacher()
    torch.manual_seed(4)
    student = toy.Network(8)
    criterion_cls, criterion_div = nn.CrossEntropyLoss(), CTKDCriterion(kd_weight=0.9)
    optimizer = torch.optim.SGD(student.parameters(), lr=0.05, momentum=0.9)
    for epoch in range(1, epochs + 1):
        criterion_div.set_epoch(epoch)
        student.train()
        for images, target in toy.batches():
            logit_s = student(images)
            with torch.no_grad():
                logit_t = teacher(images)
            loss = gamma * criterion_cls(logit_s, target) + alpha * criterion_div(logit_s, logit_t)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch}: tau {criterion_div.tau:.3f}, top-1 {100 * toy.accuracy(student):.1f}%")
    return student, criterion_div


if __name__ == "__main__":
    main()
