"""CTKD as a task of timm, with timm's optimizer, clipping, average of weights and checkpoints, as its train.py puts them together.
Runs on the CPU in seconds; needs timm and ctkd."""
import tempfile

import timm
import toy
import torch
from timm.optim import create_optimizer_v2
from timm.utils import CheckpointSaver, dispatch_clip_grad

from ctkd.torch.adapters.timm import CTKDTask


def main(epochs=2, folder=None):
    teacher = toy.trained_teacher()
    torch.manual_seed(4)
    student = timm.create_model("test_resnet", num_classes=10)
    teacher.pretrained_cfg = student.pretrained_cfg  # both read the pictures as they are
    task = CTKDTask(student, teacher, ce_weight=0.1, kd_weight=0.9)
    optimizer = create_optimizer_v2(task.get_trainable_module(), opt="momentum", lr=0.02, momentum=0.9)
    task.setup_ema(decay=0.9)
    saver = CheckpointSaver(student, optimizer, task=task, checkpoint_dir=folder or tempfile.mkdtemp())
    updates = 0
    for epoch in range(epochs):
        task.ctkd.set_epoch(epoch + 1)
        task.train()
        for images, target in toy.batches():
            result = task(images, target)
            optimizer.zero_grad()
            result["loss"].backward()
            dispatch_clip_grad(task.get_clip_parameters(), value=5.0)
            optimizer.step()
            updates += 1
            task.update_ema(step=updates)
        print(f"epoch {epoch + 1}: tau {task.ctkd.tau:.3f}, top-1 {100 * toy.accuracy(task.get_eval_model(ema=True)):.1f}%")
        saver.save_checkpoint(epoch)
    return student, task.ctkd


if __name__ == "__main__":
    main()
