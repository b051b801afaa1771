"""A tensor as the bytes it is made of."""

import numpy as np
import torch
from torch import Tensor


def tensor_bytes(tensor: Tensor) -> np.ndarray:
    """The bytes of every element, uint8 [elements, bytes per element], in the machine's byte order."""
    flat = tensor.detach().cpu().contiguous().flatten()
    if flat.numel() == 0:
        return np.zeros((0, tensor.element_size()), dtype=np.uint8)
    return flat.view(torch.uint8).numpy().reshape(tensor.numel(), tensor.element_size())
