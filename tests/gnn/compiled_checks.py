"""Odd graphs, and what is compiled held against its module."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn


def edges(*pairs: tuple[int, int]) -> Tensor:
    """An edge_index [2, edges] of (source, target)."""
    return torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).t().contiguous()


# Unsorted and with self-loops, equal edges and isolated nodes; without edges; one node.
ODD_GRAPHS = {
    "unsorted": (6, edges((4, 1), (0, 1), (0, 1), (2, 2), (1, 0), (2, 2), (5, 0))),
    "no edges": (3, edges()),
    "one node": (1, edges()),
    "one loop": (1, edges((0, 0))),
}


# A layer inside another one may be refused what it is given by its own or by its kernel.
REFUSALS = (ValueError, AttributeError, RuntimeError, TypeError)


@torch.no_grad()
def assert_same(compiled: nn.Module, module: nn.Module, *arguments: Any) -> None:  # noqa: ANN401
    """Whether both give the same to 1e-5 of the largest number, the compiled one twice, or both refuse."""
    try:
        expected = module(*arguments)
    except REFUSALS:
        with pytest.raises(REFUSALS):
            compiled(*arguments)
        return
    finite = expected[expected.isfinite()]
    atol = 1e-5 * float(finite.abs().max()) if finite.numel() else 0.0
    for _ in range(2):
        torch.testing.assert_close(compiled(*arguments), expected, rtol=1e-5, atol=atol, equal_nan=True)


def repeated(copies: int, channels: int) -> tuple[Tensor, Tensor, Tensor]:
    """Copies of a path of three nodes whose ends are equal, in four graphs."""
    x = torch.tensor([[0.0], [1.0], [0.0]]).repeat(copies, channels)
    path = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
    edges = torch.cat([path + 3 * number for number in range(copies)], dim=1)
    return x, edges, torch.arange(copies).repeat_interleave(3) % 4
