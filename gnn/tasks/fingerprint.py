"""What makes two tasks the same: the bytes of their tensors."""

import hashlib
from collections.abc import Mapping

from torch import Tensor

from gnn.tensor_bytes import tensor_bytes


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """Sha256 over names, types, shapes and bytes, independent of the order of the mapping."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode() + tensor_bytes(tensor).tobytes())
    return digest.hexdigest()
