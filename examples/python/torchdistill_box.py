"""CTKD as a mid-level loss in torchdistill's DistillationBox. Runs on the CPU in seconds; needs torchdistill and ctkd. In a
configuration file the same is YAML."""
import toy
import torch
from torch.utils.data import SequentialSampler, TensorDataset
from torchdistill.core.distillation import get_distillation_box

import ctkd.torch.adapters.torchdistill  # noqa: F401  registers CTKDLoss and ctkd_pre_epoch_process

AT_FC = {"forward_proc": "forward_batch_only", "forward_hook": {"output": ["fc"]}}
CTKD_LOSS = {"key": "CTKDLoss", "kwargs": {"student_module_path": "fc", "student_module_io": "output",
                                           "teacher_module_path": "fc", "teacher_module_io": "output",
                                           "ce_weight": 0.1, "kd_weight": 0.9}}


def config(epochs):
    return {
        "num_epochs": epochs,
        "train_data_loader": {"dataset_id": "toy", "sampler": {"class_or_func": SequentialSampler},
                              "kwargs": {"batch_size": 64}},
        "teacher": {**AT_FC, "requires_grad": False},
        "student": dict(AT_FC),
        "optimizer": {"key": "SGD", "kwargs": {"lr": 0.05, "momentum": 0.9}},
        "pre_epoch_process": "ctkd_pre_epoch_process",
        "criterion": {"key": "WeightedSumLoss", "kwargs": {"sub_terms": {"ctkd": {"criterion": CTKD_LOSS, "weight": 1.0}}}},
    }


def main(epochs=2):
    teacher = toy.trained_teacher()
    torch.manual_seed(4)
    student = toy.Network(8)
    box = get_distillation_box(teacher, student, {"toy": TensorDataset(*toy.pictures(640, seed=2))}, config(epochs),
                               torch.device("cpu"), None, False, 1)
    criterion, _ = box.criterion.term_dict["ctkd"]
    for epoch in range(box.num_epochs):
        box.pre_epoch_process(epoch=epoch)
        for images, targets, supp_dict in box.train_data_loader:
            box.post_forward_process(box.forward_process(images, targets, supp_dict))
        box.post_epoch_process()
        print(f"epoch {epoch + 1}: tau {criterion.tau:.3f}, top-1 {100 * toy.accuracy(student):.1f}%")
    box.clean_modules()
    return student, criterion


if __name__ == "__main__":
    main()
