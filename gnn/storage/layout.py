"""Which tensors a model's state has, and which of them a file may hold in fewer bits."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from math import prod

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from gnn.compression.prunable import prunable_parameters
from gnn.errors import StorageError
from gnn.layers.rules import axis_of_outputs

STATE_DTYPES = (
    *(torch.float32, torch.int64, torch.uint8, torch.bool),
    *(torch.float16, torch.bfloat16, torch.float64, torch.int8, torch.int16, torch.int32),
)


@dataclass(frozen=True)
class Layout:
    """Shapes of the state's tensors by name: of `weights`, of other floats and, with their type, of all others.

    Weights are what pruning may touch (`gnn.compression.prunable`); only they are held in fewer bits, one scale per
    entry of their `output_axis`. Biases, normalisation and buffers are kept bit for bit.
    """

    weights: Mapping[str, tuple[int, ...]]
    output_axis: Mapping[str, int]
    floats: Mapping[str, tuple[int, ...]]
    others: Mapping[str, tuple[torch.dtype, tuple[int, ...]]]

    @classmethod
    def of(cls, model: nn.Module) -> "Layout":
        """The layout of a model; raises what `tensor_state` raises."""
        state = tensor_state(model)
        axes = {
            name: axis_of_outputs(module) % getattr(module, parameter).dim()
            for name, module, parameter in prunable_parameters(model)
            if name in state and state[name].dtype == torch.float32
        }
        rest = {name: tensor for name, tensor in state.items() if name not in axes}
        return cls(
            weights={name: tuple(tensor.shape) for name, tensor in state.items() if name in axes},
            output_axis=axes,
            floats={name: tuple(tensor.shape) for name, tensor in rest.items() if tensor.dtype == torch.float32},
            others={
                name: (tensor.dtype, tuple(tensor.shape))
                for name, tensor in rest.items()
                if tensor.dtype != torch.float32
            },
        )

    def size_bytes(self) -> int:
        """Bytes of all tensors in memory."""
        floats = sum(map(prod, chain(self.weights.values(), self.floats.values())))
        return 4 * floats + sum(dtype.itemsize * prod(shape) for dtype, shape in self.others.values())

    def described(self, bit_width: int) -> dict[str, list[object]]:
        """Type, shape and bits per element of every tensor, as JSON values."""
        floats = {name: (torch.float32, shape, bit_width) for name, shape in self.weights.items()}
        floats |= {name: (torch.float32, shape, 32) for name, shape in self.floats.items()}
        others = {name: (dtype, shape, 8 * dtype.itemsize) for name, (dtype, shape) in self.others.items()}
        return {
            name: [str(dtype).removeprefix("torch."), list(shape), bits]
            for name, (dtype, shape, bits) in {**floats, **others}.items()
        }

    def scale_count(self) -> int:
        """Output channels of all weights."""
        return sum(shape[self.output_axis[name]] for name, shape in self.weights.items())

    def matrix(self, name: str, weight: Tensor) -> np.ndarray:
        """A weight as [positions, outputs]."""
        array = np.moveaxis(weight.detach().cpu().numpy(), self.output_axis[name], -1)
        return np.ascontiguousarray(array).reshape(self.matrix_shape(name))

    def matrix_shape(self, name: str) -> tuple[int, int]:
        """Positions and outputs of a weight."""
        shape, axis = self.weights[name], self.output_axis[name]
        return prod(shape[:axis] + shape[axis + 1 :]), shape[axis]

    def weight(self, name: str, matrix: np.ndarray) -> Tensor:
        """The weight that `matrix` was made of."""
        shape, axis = self.weights[name], self.output_axis[name]
        moved = matrix.reshape(*shape[:axis], *shape[axis + 1 :], shape[axis])
        return torch.from_numpy(np.moveaxis(moved, -1, axis).copy())


def tensor_state(model: nn.Module) -> dict[str, Tensor]:
    """The state of a bare model, every tensor under the first of its names.

    Raises `StorageError` that names what is no tensor of a stored type with memory of its own.
    """
    state, other_names = model.state_dict(), shared_names(model)
    owners: dict[int, str] = {}
    for name, tensor in state.items():
        _check_storable(name, tensor)
        if tensor.numel() and not tensor.is_meta and name not in other_names:
            owner = owners.setdefault(tensor.data_ptr(), name)
            if owner != name:
                raise StorageError(
                    f"tensors {owner!r} and {name!r} share their memory without being one, which a file would part; "
                    "give the same parameter to both, or clone one"
                )
    return {name: tensor for name, tensor in state.items() if name not in other_names}


def shared_names(model: nn.Module) -> dict[str, str]:
    """The further names of parameters and buffers that a model has several times, with the first of each."""
    first: dict[int, str] = {}
    parameters, buffers = model.named_parameters(remove_duplicate=False), model.named_buffers(remove_duplicate=False)
    return {
        name: first[id(tensor)]
        for name, tensor in chain(parameters, buffers)
        if first.setdefault(id(tensor), name) != name
    }


def _check_storable(name: str, tensor: object) -> None:
    if not isinstance(tensor, Tensor):
        raise StorageError(
            f"{name!r} is a {type(tensor).__name__}, which cannot be stored without executing what is in a file; "
            "keep it in buffers"
        )
    if is_lazy(tensor):
        raise StorageError(
            f"{name!r} has no size yet; build its layer with its sizes, or call the model once on an example"
        )
    if tensor.layout != torch.strided or tensor.dtype not in STATE_DTYPES:
        kind = f"type {tensor.dtype}" if tensor.layout == torch.strided else f"layout {tensor.layout}"
        valid = ", ".join(str(dtype).removeprefix("torch.") for dtype in STATE_DTYPES)
        raise StorageError(f"tensors of {kind}, as {name!r}, cannot be stored; valid are dense ones of: {valid}")
