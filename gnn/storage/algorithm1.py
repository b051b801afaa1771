"""The paper's Algorithm 1, exactly as printed, and the dense file it is compared with."""

import io
import math

import torch
from torch import Tensor, nn


def algorithm1_state(model: nn.Module) -> dict[str, dict[str, object]]:
    """Compress a state dictionary as the paper does: the shape and the non-zero values of every tensor.

    Source: the paper, Algorithm 1 ("Sparse Model State Compression"). No positions are stored, so the
    result cannot be decoded: it serves to reproduce the paper's size figures and nothing else. A tensor
    without any non-zero value is kept whole, as printed.
    """
    state: dict[str, object] = {}
    for name, tensor in model.state_dict().items():
        mask = tensor != 0
        state[name] = {"shape": tensor.shape, "values": tensor[mask]} if bool(mask.any()) else tensor
    return {"net": state}


def algorithm1_size_bytes(model: nn.Module) -> int:
    """Bytes of `torch.save` of Algorithm 1's result."""
    return _saved_size_bytes(algorithm1_state(model))


def dense_size_bytes(model: nn.Module) -> int:
    """Bytes of `torch.save` of the whole state dictionary, zeros included: the paper's base size."""
    return _saved_size_bytes({"net": model.state_dict()})


def entropy_bound_bytes(model: nn.Module) -> float:
    """Order-0 bound of a lossless FP32 file: sum over tensors of n H(p) / 8 plus the raw non-zero values.

    H(p) = -p log2 p - (1 - p) log2 (1 - p) is the entropy of a mask with a share p of non-zero values. An
    order-0 coder cannot do better; one that sees rows die together can.
    """
    return sum(_tensor_bound_bytes(tensor) for tensor in model.state_dict().values())


def _tensor_bound_bytes(tensor: Tensor) -> float:
    nonzero = int(tensor.count_nonzero())
    share = nonzero / max(tensor.numel(), 1)
    mask_bits = sum(-p * math.log2(p) for p in (share, 1 - share) if p > 0)
    return tensor.numel() * mask_bits / 8 + nonzero * tensor.element_size()


def _saved_size_bytes(content: object) -> int:
    # In memory, because torch.save writes the file's name into the file and so its length into its size.
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getbuffer().nbytes
