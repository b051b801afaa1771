"""What makes two tasks the same: the bytes of their tensors."""

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gnn.errors import DatasetError
from gnn.tasks.objectives import Objective
from gnn.tensor_bytes import tensor_bytes

if TYPE_CHECKING:
    from torch_geometric.data import Data


def fingerprint(tensors: Mapping[str, Tensor], facts: Mapping[str, str] | None = None) -> str:
    """Sha256 over names, types, shapes and bytes, and over facts; independent of the order of the mappings."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode() + tensor_bytes(tensor).tobytes())
    for name, fact in sorted((facts or {}).items()):
        digest.update(f"{name} {fact};".encode())
    return digest.hexdigest()


def fingerprint_of_data(data: "Data", objective: Objective, parts: Mapping[str, Tensor]) -> str:
    """The fingerprint of whatever a PyG graph holds, the objective and the parts; raises as `tensors_of_data` does."""
    tensors, facts = tensors_of_data(data)
    tensors |= {f"part.{name}": part for name, part in parts.items()}
    return fingerprint(tensors, {**facts, "objective": repr(objective)})


def tensors_of_data(data: "Data") -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors that a PyG graph holds, and its numbers and text.

    Raises `DatasetError` for an attribute that is none of these.
    """
    tensors: dict[str, Tensor] = {}
    facts: dict[str, str] = {}
    for name, value in data.to_dict().items():
        if isinstance(value, Tensor) and value.layout == torch.strided:
            tensors[f"data.{name}"] = value
        elif _is_plain(value):
            facts[f"data.{name}"] = repr(value)
        else:
            raise DatasetError(
                f"{name} is a {type(value).__name__}, which has no fingerprint; keep dense tensors, numbers and text, "
                f"and delete what the model does not need: del data.{name}"
            )
    return tensors, facts


def _is_plain(value: Any) -> bool:  # noqa: ANN401
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)
