"""Rows of the matrices that aggregations over sorted edges are, made for some targets at a time."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from gnn.layers import CsrMatrix
from gnn.runtime.blocks.row_tables import row_block
from gnn.runtime.blocks.sorted_edges import SortedEdges


def with_own(pointer: Tensor, source: Tensor, weight: Tensor, start: int, own: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The edges of a block and one more from each target to itself, behind those from sources up to it.

    Shapes: pointer [targets + 1]; source, weight [edges]; own [targets].
    """
    targets = len(pointer) - 1
    row = torch.repeat_interleave(torch.arange(targets), pointer.diff())
    before = source <= row + start
    # An edge moves by one for each own row before it.
    place = torch.arange(len(source)) + row + (~before)
    at = pointer[:-1] + torch.arange(targets) + torch.bincount(row[before], minlength=targets)
    sources, weights = source.new_empty(len(source) + targets), weight.new_empty(len(source) + targets)
    sources[place], weights[place] = source, weight
    sources[at], weights[at] = torch.arange(start, start + targets).to(source.dtype), own
    return pointer + torch.arange(targets + 1).to(pointer.dtype), sources, weights


def without_loops(
    pointer: Tensor, source: Tensor, weight: Tensor, start: int
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The edges of a block without those from a target to itself; of these, rows and weights, as they came."""
    targets = len(pointer) - 1
    row = torch.repeat_interleave(torch.arange(targets), pointer.diff())
    loop = source == row + start
    kept = ~loop
    ends = torch.zeros_like(pointer)
    ends[1:] = torch.bincount(row[kept], minlength=targets).cumsum(0)
    return ends, source[kept], weight[kept], row[loop], weight[loop]


@dataclass(frozen=True)
class WholeMatrix:
    """Rows of a matrix that is there from the start."""

    matrix: CsrMatrix

    def entries(self, start: int, stop: int) -> int:
        """How many entries these rows have."""
        return int(self.matrix.row_pointer[stop] - self.matrix.row_pointer[start])

    def block(self, start: int, stop: int) -> CsrMatrix:
        """The rows from start to stop, over all sources."""
        return row_block(self.matrix, start, stop)


@dataclass(frozen=True)
class EdgeRows:
    """Rows of the matrix whose product adds up or averages what edges bring, as `graph_cache.edge_matrix` makes it."""

    edges: SortedEdges
    aggregation: str = "sum"
    own: float = 0.0

    def entries(self, start: int, stop: int) -> int:
        """How many entries these rows have at most."""
        return self.edges.count(start, stop) + (stop - start if self.own else 0)

    def block(self, start: int, stop: int) -> CsrMatrix:
        """The rows of the targets from start to stop, over all sources."""
        pointer, source, weight = self.edges.block(start, stop)
        if self.aggregation == "mean":
            degrees = pointer.diff()
            weight = weight / torch.repeat_interleave(degrees, degrees)
        if self.own:
            pointer, source, weight = with_own(pointer, source, weight, start, torch.full((stop - start,), self.own))
        return CsrMatrix(pointer, source, weight, (stop - start, self.edges.nodes))


class NormalisedRows:
    """The same of edges that PyG's `gcn_norm` weighs, scaled by the root of the degree of both ends.

    Nodes' scales, and what their self-loops weigh, are kept, [nodes].
    """

    def __init__(self, edges: SortedEdges, aggregation: str, *, improved: bool, add_self_loops: bool) -> None:
        self.edges, self._aggregation, self._adds = edges, aggregation, add_self_loops
        self._loops = 2.0 if improved and edges.weight is not None else 1.0
        self._scale = torch.zeros(edges.nodes)

    def entries(self, start: int, stop: int) -> int:
        """How many entries these rows have at most."""
        return self.edges.count(start, stop) + (stop - start)

    def scale(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Add up the degrees of all nodes, block by block, before the first rows are asked for."""
        for start, stop in ranges:
            pointer, _, weight = self._weighed(start, stop)
            row = torch.repeat_interleave(torch.arange(stop - start), pointer.diff())
            self._scale[start:stop] = torch.zeros(stop - start).index_add_(0, row, weight)
        self._scale.pow_(-0.5)
        self._scale.masked_fill_(self._scale == float("inf"), 0)

    def block(self, start: int, stop: int) -> CsrMatrix:
        """The rows of the targets from start to stop, over all sources."""
        pointer, source, weight = self._weighed(start, stop)
        degrees = pointer.diff()
        weight = self._scale[source] * weight * torch.repeat_interleave(self._scale[start:stop], degrees)
        if self._aggregation == "mean":
            weight = weight / torch.repeat_interleave(degrees, degrees)
        return CsrMatrix(pointer, source, weight, (stop - start, self.edges.nodes))

    def _weighed(self, start: int, stop: int) -> tuple[Tensor, Tensor, Tensor]:
        pointer, source, weight = self.edges.block(start, stop)
        if not self._adds:
            return pointer, source, weight
        pointer, source, weight, row, of_loops = without_loops(pointer, source, weight, start)
        own = torch.full((stop - start,), self._loops)
        if self.edges.weight is not None:
            own[row] = of_loops
        return with_own(pointer, source, weight, start, own)
