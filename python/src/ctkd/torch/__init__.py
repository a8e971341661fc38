"""CTKD for PyTorch: `CTKDLoss`, a criterion with a temperature that is learnt."""
from ._loss import CTKDLoss

__all__ = ["CTKDLoss"]
