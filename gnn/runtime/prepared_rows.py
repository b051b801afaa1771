"""What the steps of a deduplicated trace read of a graph: made once of its colours."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from gnn.errors import SettingError
from gnn.layers import CsrMatrix
from gnn.runtime.colours import Colours, equal_rows, quotient, refine
from gnn.runtime.kernels import matrix_of
from gnn.runtime.pyg_layers import Convolution, Hop
from gnn.runtime.readouts import Readout


@dataclass(frozen=True)
class Source:
    """Where an operator comes from: it is given, or a convolution makes it of given edges and, maybe, weights.

    `place` and `weight` say which of the given values; a column of the operator is one of `tables` places of a row.
    """

    place: int
    tables: int = 1
    convolution: Convolution | None = None
    weight: int | None = None

    def matrix(self, given: Sequence[Any], rows: int) -> CsrMatrix:
        """The operator of a graph with so many rows; raises `SettingError` for one that the trace is not of."""
        if self.convolution is None:
            matrix = matrix_of(given[self.place])
        else:
            weight = None if self.weight is None else given[self.weight]
            probe, edges = torch.empty(0, 0), given[self.place]
            knows = self.convolution.knows(probe, probe, edges, weight)
            matrix = self.convolution.operator(rows, edges, weight) if knows else None
        if matrix is None or matrix.shape[1] != rows * self.tables:
            raise SettingError("an operator is of another kind or size than in the example")
        return matrix


@dataclass(frozen=True)
class Coloured:
    """A graph: what is given of it, and the colours of its rows by depth."""

    given: Sequence[Any]
    rows: int
    colours: list[Colours] = field(default_factory=list)

    def number(self, depth: int, of: int | None = None) -> Tensor:
        """The colour of this depth of each colour of a greater one, or of each row."""
        of_row = self.colours[depth].of_row
        return of_row if of is None else of_row[self.colours[of].first]


def coloured(
    given: Sequence[Any],
    entering: Sequence[int],
    hops: Sequence[Sequence[Source]],
    enough: Callable[[list[Colours]], bool],
) -> Coloured:
    """Colours of depth 0 by the given values that enter, and of one depth more by the operators of each hop.

    Stops when `enough`, asked about the colours so far, says so.
    """
    rows = len(given[entering[0]])
    if any(len(given[place]) != rows for place in entering):
        raise SettingError("not all matrices have a row for each node")
    graph = Coloured(given, rows, [equal_rows(*(given[place] for place in entering))])
    for sources in hops:
        if enough(graph.colours):
            break
        below = own = graph.colours[-1]
        matrices = [(source.matrix(given, rows), source.tables) for source in sources]
        for matrix, tables in {id(matrix): (matrix, tables) for matrix, tables in matrices}.values():
            if matrix.shape[0] != rows:
                raise SettingError("an operator is of another kind or size than in the example")
            own = refine(own, below, matrix, tables)
        graph.colours.append(own)
    return graph


class Request(Protocol):
    """Something that a step reads instead of what it read."""

    def make(self, graph: Coloured) -> Any:  # noqa: ANN401
        """What the step reads of one graph."""
        ...


@dataclass(frozen=True)
class GivenRows:
    """A given matrix, a row per colour."""

    place: int
    depth: int

    def make(self, graph: Coloured) -> Tensor:
        """The rows of the first of each colour."""
        return graph.given[self.place][graph.colours[self.depth].first]


@dataclass(frozen=True)
class Operator:
    """An operator of one hop, from colours to colours that are one deeper."""

    source: Source
    depth: int

    def make(self, graph: Coloured) -> CsrMatrix:
        """The operator's rows of the first of each colour."""
        colours = graph.colours[self.depth : self.depth + 2]
        return quotient(self.source.matrix(graph.given, graph.rows), colours[1], colours[0], self.source.tables)


@dataclass(frozen=True)
class HopOperator(Operator):
    """The same with the colours that the rows had before."""

    def make(self, graph: Coloured) -> Hop:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The hop of a convolution."""
        return Hop(super().make(graph), graph.number(self.depth, self.depth + 1))


@dataclass(frozen=True)
class Numbers:
    """The colour of one depth of each colour of another, or of each row."""

    depth: int
    of: int | None = None

    def make(self, graph: Coloured) -> Tensor:
        """The index."""
        return graph.number(self.depth, self.of)


@dataclass(frozen=True)
class OperatorOut:
    """An operator whose rows are no rows of nodes."""

    source: Source
    depth: int

    def make(self, graph: Coloured) -> CsrMatrix:
        """The operator with a column per colour."""
        matrix = self.source.matrix(graph.given, graph.rows)
        return quotient(matrix, None, graph.colours[self.depth], self.source.tables)


@dataclass(frozen=True)
class ReadoutMatrix:
    """What a readout makes of the graph of each node; the number of graphs is given, or in `size`."""

    readout: Readout
    index: int
    depth: int
    size: int | None = None
    size_place: int | None = None

    def make(self, graph: Coloured) -> CsrMatrix:
        """The matrix (graphs, colours)."""
        size = self.size if self.size_place is None else graph.given[self.size_place]
        matrix = self.readout.matrix(torch.empty(graph.rows, 0), graph.given[self.index], size)
        if matrix is None:
            raise SettingError("the nodes are assigned to graphs in another way than in the example")
        return quotient(matrix, None, graph.colours[self.depth])
