"""Functions of single numbers: what a kernel does to its result before it writes it, or by themselves."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from gnn.native.fastest import fastest, rows_class
from gnn.native.library import kernels, library
from gnn.native.tensors import taken

NUMBERS = {"none": 0, "relu": 1, "elu": 2, "asinh": 3}
WAYS: dict[tuple[object, ...], str] = {}


@dataclass(frozen=True)
class Activation:
    """ReLU, ELU with its alpha, asinh (by itself alone), or nothing."""

    name: str = "none"
    alpha: float = 1.0

    @property
    def number(self) -> int:
        """What the kernels call it."""
        return NUMBERS[self.name]

    def in_place(self, values: Tensor) -> Tensor:
        """Change values, which nobody else has, and return them."""
        if self.name == "relu":
            return functional.relu_(values)
        return functional.elu_(values, self.alpha) if self.name == "elu" else values


NOTHING = Activation()


def transform(values: Tensor, function: Activation) -> Tensor:
    """A function of every number of a tensor, by the fastest kernel of this machine."""
    if library() is None or not taken(values):
        return plain_transform(values, function)
    key = ("transform", function.name, rows_class(values.numel()))
    if key not in WAYS:
        ways = {"torch": lambda: plain_transform(values, function), "native": lambda: _transform(values, function)}
        WAYS[key] = fastest(key, ways)
    return (_transform if WAYS[key] == "native" else plain_transform)(values, function)


def plain_transform(values: Tensor, function: Activation) -> Tensor:
    """The same in PyTorch."""
    if function.name == "asinh":
        return torch.asinh(values)
    return functional.relu(values) if function.name == "relu" else functional.elu(values, function.alpha)


def _transform(values: Tensor, function: Activation) -> Tensor:
    values = values.contiguous()
    out = torch.empty_like(values)
    kernels().transform(values.data_ptr(), out.data_ptr(), values.numel(), function.number, function.alpha)
    return out
