"""CTKD for PyTorch: `CTKDLoss`, a criterion with a learned temperature."""
from ._loss import CTKDLoss

__all__ = ["CTKDLoss"]
