"""Which tensors kernels take."""

import torch
from torch import Tensor


def taken(*tensors: Tensor | None) -> bool:
    """Whether all are plain float32 in memory of which nobody wants a gradient; None is a tensor that is not there."""
    learning = torch.is_grad_enabled()
    for tensor in tensors:
        if tensor is not None and not (
            tensor.dtype is torch.float32
            and tensor.is_cpu
            and tensor.layout is torch.strided
            and not (learning and tensor.requires_grad)
        ):
            return False
    return True
