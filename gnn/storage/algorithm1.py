"""The paper's Algorithm 1, exactly as printed, and the dense file it is compared with."""

import copy
import io

import torch
from torch import Tensor, nn

from gnn.models import bare_model
from gnn.storage.layout import tensor_state


def algorithm1_state(model: nn.Module) -> dict[str, dict[str, object]]:
    """Compress a state dictionary as the paper does: the shape and the non-zero values of every tensor.

    Source: the paper, Algorithm 1 ("Sparse Model State Compression"). No positions are stored, so the
    result cannot be decoded: it serves to reproduce the paper's size figures and nothing else. A tensor
    without any non-zero value is kept whole, as printed.
    """
    state: dict[str, object] = {}
    for name, tensor in _state(model).items():
        mask = tensor != 0
        state[name] = {"shape": tensor.shape, "values": tensor[mask]} if bool(mask.any()) else tensor
    return {"net": state}


def algorithm1_size_bytes(model: nn.Module) -> int:
    """Bytes of `torch.save` of Algorithm 1's result."""
    return _saved_size_bytes(algorithm1_state(model))


def dense_size_bytes(model: nn.Module) -> int:
    """Bytes of `torch.save` of the whole state dictionary, zeros included: the paper's base size."""
    return _saved_size_bytes({"net": _state(model)})


def _state(model: nn.Module) -> dict[str, Tensor]:
    bare = bare_model(model)
    # It says what is no tensor or has no size yet; what it returns is no longer what `torch.save` is given.
    if any(tensor.device.type != "cpu" for tensor in tensor_state(bare).values()):
        # A file names the device of each tensor, and so takes more bytes where that has a longer name.
        bare = copy.deepcopy(bare).cpu()
    return bare.state_dict()


def _saved_size_bytes(content: object) -> int:
    # In memory, because torch.save writes the file's name into the file and so its length into its size.
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getbuffer().nbytes
