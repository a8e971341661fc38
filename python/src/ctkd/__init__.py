"""Losses for knowledge distillation with exact gradients, and a learned temperature (libctkd).

Functions: kd, dkd, cross_entropy, and loss(name, ...) for every loss of logits; methods() lists them. Plugin is the
curriculum temperature for a training loop; for PyTorch see ctkd.torch.CTKDLoss.
"""
from ._library import Error, InvalidArgument, NotFinite, NotFound, OutOfMemory, version
from ._losses import Loss, Method, cross_entropy, dkd, kd, loss, methods
from ._plugin import Evaluation, Plugin, options

__version__ = version()
__all__ = ["Error", "Evaluation", "InvalidArgument", "Loss", "Method", "NotFinite", "NotFound", "OutOfMemory", "Plugin",
           "cross_entropy", "dkd", "kd", "loss", "methods", "options", "version"]
