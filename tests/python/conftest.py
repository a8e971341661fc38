"""What several tests use."""
import importlib.metadata
import importlib.util

import pytest


@pytest.fixture(scope="session")
def torchvision():
    """What timm and torchdistill import. PyPI's wheels of it are built for CUDA: beside a PyTorch for CPUs alone its operators do
    not load, and its import fails at the first two that it describes. They are declared here; nothing calls them."""
    torch = pytest.importorskip("torch")
    version = importlib.util.find_spec("torchvision") and importlib.metadata.version("torchvision")
    if version and "+" not in version and "+cpu" in torch.__version__:
        for name in ("nms", "qnms"):
            torch.library.define(f"torchvision::{name}", "(Tensor dets, Tensor scores, float threshold) -> Tensor")
    return pytest.importorskip("torchvision")
