"""Sums over neighbours and products along edges for a graph whose every edge has its reverse."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from gnn.errors import DatasetError
from gnn.layers.csr_matrix import bag_sum


@dataclass(frozen=True, eq=False)
class SymmetricPattern:
    """The edges of an undirected graph without equal edges and self-loops, each in both directions, sorted by target.

    Knowing where the reverse of an edge stands, both kernels and both gradients are one embedding bag or one
    gather; nothing has to be sorted or scattered, although every mini-batch has another pattern.

    Shapes: pointer [nodes + 1], the edges of each target; column [edges], the source of each edge;
    reverse [edges], the position of the edge that goes the other way.
    """

    pointer: Tensor
    column: Tensor
    reverse: Tensor

    @classmethod
    def from_edges(cls, target: Tensor, source: Tensor, nodes: int) -> "SymmetricPattern":
        """Sort edges [edges] given in any order; raises `DatasetError` where they are no such graph."""
        key, order = (target * nodes + source).sort()
        target, source = target[order], source[order]
        # The order by source, then target, is that of the reverses.
        backwards, reverse = (source * nodes + target).sort()
        if not bool((key.diff() > 0).all() & (target != source).all()) or not torch.equal(key, backwards):
            raise _not_simple(target, source, key, backwards)
        pointer = torch.cat([target.new_zeros(1), torch.bincount(target, minlength=nodes).cumsum(0)])
        return cls(pointer, source, reverse)

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return len(self.pointer) - 1

    @cached_property
    def row(self) -> Tensor:
        """The target of every edge, [edges]."""
        counts = self.pointer.diff()
        return torch.repeat_interleave(torch.arange(self.nodes, device=counts.device), counts)

    @property
    def degree(self) -> Tensor:
        """Number of neighbours of every node, [nodes]."""
        return self.pointer.diff()

    def repeated(self, times: int) -> "SymmetricPattern":
        """Copies of the graph beside each other; node v of copy c becomes c * nodes + v, and edges likewise."""
        copy = torch.arange(times, device=self.pointer.device)[:, None]
        edges = len(self.column)
        last = self.pointer.new_full((1,), times * edges)
        return SymmetricPattern(
            torch.cat([(self.pointer[:-1] + copy * edges).flatten(), last]),
            (self.column + copy * self.nodes).flatten(),
            (self.reverse + copy * edges).flatten(),
        )

    def neighbour_sum(self, weight: Tensor, table: Tensor) -> Tensor:
        """out[t] = sum over edges e = (s -> t) of weight[e] * table[s]; differentiable in both.

        Shapes: weight [edges], table [nodes, width] -> [nodes, width].
        """
        return _NeighbourSum.apply(self, weight, table)  # pyright: ignore[reportReturnType]

    def edge_product(self, left: Tensor, right: Tensor) -> Tensor:
        """out[e] = left[t] . right[s] for every edge e = (s -> t); differentiable in both.

        Shapes: left and right [nodes, width] -> [edges].
        """
        return _EdgeProduct.apply(self, left, right)  # pyright: ignore[reportReturnType]

    def target_maximum(self, value: Tensor) -> Tensor:
        """The largest value [edges] of each target's edges, 0 where it has none, [nodes]; without a gradient."""
        maximum = value.new_full((self.nodes,), -torch.inf)
        maximum = maximum.scatter_reduce(0, self.row, value.detach(), "amax")
        return maximum.masked_fill(self.degree == 0, 0)


def _not_simple(target: Tensor, source: Tensor, key: Tensor, backwards: Tensor) -> DatasetError:
    """What is wrong with the first edge that an undirected graph without equal edges and self-loops cannot have."""
    faults = {
        "is a self-loop": target == source,
        "is there twice": torch.cat([key.diff() == 0, key.new_zeros(1, dtype=torch.bool)]),
        "has no reverse": ~torch.isin(key, backwards),
    }
    fault, wrong = next((fault, wrong.nonzero()) for fault, wrong in faults.items() if bool(wrong.any()))
    edge = int(wrong[0])
    return DatasetError(
        f"the edge from node {int(source[edge])} to node {int(target[edge])} {fault}; give every edge between two "
        "nodes once in each direction"
    )


def _neighbour_sum(pattern: SymmetricPattern, weight: Tensor, table: Tensor) -> Tensor:
    return bag_sum(pattern.pointer, pattern.column, weight, table)


def _edge_product(pattern: SymmetricPattern, left: Tensor, right: Tensor) -> Tensor:
    return (left.index_select(0, pattern.row) * right.index_select(0, pattern.column)).sum(1)


class _NeighbourSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pattern: SymmetricPattern, weight: Tensor, table: Tensor) -> Tensor:  # noqa: ANN401
        ctx.pattern = pattern
        ctx.save_for_backward(weight, table)
        return _neighbour_sum(pattern, weight, table)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor | None, Tensor | None]:  # noqa: ANN401
        weight, table = ctx.saved_tensors
        pattern: SymmetricPattern = ctx.pattern
        gradient, needed = gradients[0].contiguous(), ctx.needs_input_grad
        of_weight = _edge_product(pattern, gradient, table) if needed[1] else None
        of_table = _neighbour_sum(pattern, weight.index_select(0, pattern.reverse), gradient) if needed[2] else None
        return None, of_weight, of_table


class _EdgeProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, pattern: SymmetricPattern, left: Tensor, right: Tensor) -> Tensor:  # noqa: ANN401
        ctx.pattern = pattern
        ctx.save_for_backward(left, right)
        return _edge_product(pattern, left, right)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor | None, Tensor | None]:  # noqa: ANN401
        left, right = ctx.saved_tensors
        pattern: SymmetricPattern = ctx.pattern
        gradient, needed = gradients[0].contiguous(), ctx.needs_input_grad
        of_left = _neighbour_sum(pattern, gradient, right) if needed[1] else None
        of_right = _neighbour_sum(pattern, gradient.index_select(0, pattern.reverse), left) if needed[2] else None
        return None, of_left, of_right
