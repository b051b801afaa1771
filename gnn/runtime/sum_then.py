"""Sums over neighbours and a module of what they give, fused as one function."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from gnn.native import Activation
from gnn.runtime.agreement import TOLERANCE, agree
from gnn.runtime.kernels import aggregate
from gnn.runtime.peepholes import fuse


class _SumThen(nn.Module):
    """What a module makes of sums over neighbours, or of what is given without a matrix, with an activation."""

    def __init__(self, transform: nn.Module, activation: Activation) -> None:
        super().__init__()
        self.transform = transform
        kinds = {"relu": nn.ReLU(), "elu": nn.ELU(activation.alpha)}
        self.activation = kinds.get(activation.name, nn.Identity())

    def forward(self, features: Tensor, matrix: Any = None) -> Tensor:  # noqa: ANN401
        """Add up, then transform."""
        return self.activation(self.transform(features if matrix is None else aggregate(matrix, features)))


def sum_then(transform: nn.Module, activation: Activation, precision: str, *example: Any) -> Callable[..., Tensor]:  # noqa: ANN401
    """A function of features, and of a matrix that sums up neighbours, which are transformed; fused where it can be."""
    # What is made in inference mode could not be used outside of it.
    with torch.inference_mode(mode=False), torch.no_grad():
        module = _SumThen(transform, activation).eval()
        fuse(module, example, {}, partial(agree, tolerance=TOLERANCE[precision]), deduplicate=False)
    return module.forward
