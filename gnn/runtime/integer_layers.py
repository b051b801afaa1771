"""How layers of a model on integers are lowered: as programs of rows that pass nothing but bytes on."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from gnn.errors import SettingError
from gnn.layers import CsrMatrix
from gnn.layers.rules import lower
from gnn.native import Activation, maximum
from gnn.native.integers import RowProgram, unusable_because
from gnn.native.row_steps import (
    Activate,
    ByChannel,
    Entries,
    Grid,
    Multiply,
    Quantize,
    Read,
    Step,
    Sum,
)
from gnn.quantization.integer_layers import IntegerAggregation, IntegerProduct
from gnn.quantization.layers import LinearQuantizers, QuantizedGinConvolution, QuantizedGraphConvolution
from gnn.quantization.product import Aggregation
from gnn.quantization.tensor_quantizer import TensorQuantizer
from gnn.runtime.graph_cache import GraphCache
from gnn.runtime.kernels import Kernel, matrix_of
from gnn.runtime.readouts import Readout


class Rows(Kernel):
    """A program of rows, called with the arguments of its steps; what sums up has a table and an operator first.

    With a `grid` it gives bytes for whoever reads them by that grid. `norms` quantizes the operator's values.
    """

    name = "whole numbers, some rows at a time"

    def __init__(self, steps: Sequence[Step], grid: Grid | None = None, norms: nn.Module | None = None) -> None:
        super().__init__()
        self.steps, self.grid, self.norms = tuple(steps), grid, norms
        self._program = RowProgram(steps, grid)
        self._sums = isinstance(steps[0], Sum)
        self._cache = GraphCache()

    def forward(self, *given: Any) -> Tensor:  # noqa: ANN401
        """Compute all rows."""
        if self._sums:
            return self._program(given[0], self._matrix(given[1]), *given[2:])
        rows = given[0]
        if isinstance(rows, CsrMatrix):
            product, *others = self.steps[1:]
            return RowProgram([Read(), *others], self.grid)(cast(Multiply, product).own(rows), *given[1:])
        if rows.dim() != 2:
            flat = [part.reshape(-1, part.shape[-1]) for part in given]
            out = self._program(*flat)
            return out.view(*rows.shape[:-1], out.shape[-1])
        return self._program(*given)

    @property
    def ways(self) -> set[str]:
        """How its rows were computed until now."""
        return self._program.ways

    def activated(self, activation: Activation) -> "Rows | None":
        """The same with an activation of what it gives."""
        return None if self.grid is not None else Rows([*self.steps, Activate(activation)], norms=self.norms)

    def reading(self, grid: Grid, are_bytes: Sequence[bool]) -> "Rows | None":
        """The same where some of its arguments are bytes of a grid; None where it cannot read them so."""
        steps, at = [], 0
        for step in self.steps:
            if any(are_bytes[at : at + step.reads]):
                if not isinstance(step, Read) or step.grid is not None:
                    return None
                step = replace(step, grid=grid)  # noqa: PLW2901
            steps.append(step)
            at += step.reads
        return Rows(steps, self.grid, self.norms)

    def _matrix(self, operator: Any) -> Any:  # noqa: ANN401
        matrix = matrix_of(operator)
        if matrix is None or cast(Sum, self.steps[0]).grid is None:
            return operator if matrix is None else matrix
        return self._cache.get("entries", lambda: self._entries(matrix), matrix)

    def _entries(self, matrix: CsrMatrix) -> Entries:
        if self.norms is None:
            return Entries.of(matrix, matrix.value)
        norms = cast(TensorQuantizer, self.norms).codes(matrix.value[:, None])
        return Entries.of(matrix, norms.codes.sub_(norms.zero_point)[:, 0])


def _grid(quantizer: nn.Module) -> Grid:
    """The grid of a quantizer; raises `SettingError` for one that has none for all of a tensor, and without kernels."""
    if why := unusable_because():
        raise SettingError(f"there are no kernels for whole numbers: {why}")
    if not isinstance(quantizer, TensorQuantizer):
        raise SettingError(f"{type(quantizer).__name__} has a scale of its own for each row or channel")
    if not quantizer.seen:
        raise SettingError("a quantizer of it has no range")
    return quantizer.grid.nonnegative if quantizer.rectifies else quantizer.grid


def _quantized(quantizer: nn.Module) -> list[Step]:
    return [] if isinstance(quantizer, nn.Identity) else [Quantize(_grid(quantizer))]


def _plus(bias: Tensor | None) -> list[Step]:
    return [] if bias is None else [ByChannel(None, bias.detach())]


def _product(product: nn.Module, bias: Tensor | None) -> Rows:
    """The rows of a product with its quantizers."""
    if not isinstance(product, IntegerProduct):
        raise SettingError("its products are simulated, or in FP32")
    grid, matrix = _grid(product.inputs), product.matrix
    weight = Multiply(grid, matrix.centred.to(torch.int16), matrix.scale * grid.scale, product.multiply)
    return Rows([Read(), weight, *_plus(bias), *_quantized(product.features)])


def _aggregation(aggregation: nn.Module, *others: Step) -> tuple[nn.Module, Rows]:
    """What makes messages of rows, and the rows of their sums."""
    if isinstance(aggregation, IntegerAggregation):
        messages = _grid(aggregation.messages)
        norms = None if isinstance(aggregation.norms, nn.Identity) else aggregation.norms
        scale = torch.tensor(messages.scale) * (1.0 if norms is None else torch.tensor(_grid(norms).scale))
        total = Sum(messages, float(scale))
        rows = Rows([total, *_quantized(aggregation.aggregates), *others], norms=norms)
        return Rows([Read()], messages), rows
    if not isinstance(aggregation, Aggregation) or not isinstance(aggregation.norms, nn.Identity):
        raise SettingError("its messages are simulated")
    return nn.Identity(), Rows([Sum(), *_quantized(aggregation.aggregates), *others])


@lower.register(LinearQuantizers)
def _linear(layer: Any) -> Rows:  # noqa: ANN401
    return _product(layer.product, layer.bias)


class Quantizer(Rows):
    """A quantizer by itself; how often a row counts and whose it is are for training alone."""

    def __init__(self, layer: TensorQuantizer) -> None:
        super().__init__([Read(), Quantize(_grid(layer))])

    def forward(self, *given: Any, node_of_row: Tensor | None = None) -> Tensor:  # noqa: ANN401, ARG002
        """Values on the grid."""
        return super().forward(given[0])


lower.register(TensorQuantizer)(Quantizer)


class QuantizedConvolution(Kernel):
    """A graph convolution on integers: a product, and one pass that sums up what it gives."""

    name = "whole numbers, some rows at a time"
    entered = True

    def __init__(self, layer: QuantizedGraphConvolution) -> None:
        super().__init__()
        self.lin = layer.lin
        self.messages, self.sums = _aggregation(layer.aggregation, *_plus(layer.bias), *_quantized(layer.updates))

    def forward(self, features: Any, adjacency: Any) -> Tensor:  # noqa: ANN401
        """Project, then aggregate."""
        return self.sums(self.messages(self.lin(features)), adjacency)


lower.register(QuantizedGraphConvolution)(QuantizedConvolution)


class QuantizedOwnRowAndNeighbours(Kernel):
    """GIN's sum over neighbours on integers and the node itself, then its own layers."""

    name = "whole numbers, then its own layers"
    entered = True

    def __init__(self, layer: QuantizedGinConvolution) -> None:
        super().__init__()
        if layer.sends_itself:
            raise SettingError("a node sends itself")
        self.nn, self.updates = layer.nn, layer.updates
        self.messages, self.sums = _aggregation(layer.aggregation, Read(adds=True))

    def forward(self, features: Tensor, neighbours: CsrMatrix) -> Tensor:
        """Add up, then transform."""
        return self.updates(self.nn(self.sums(self.messages(features), neighbours, features)))


lower.register(QuantizedGinConvolution)(QuantizedOwnRowAndNeighbours)


class MaximumOfRows(Kernel):
    """The maximum over each graph's nodes, then what is done to its numbers; 0 for an empty graph."""

    name = "maximum over nodes before what grows with it"

    def __init__(self, readout: Readout, after: Rows) -> None:
        super().__init__()
        self.readout, self.after = readout, after

    def forward(self, rows: Tensor, graph_of_node: Tensor, size: Any = None) -> Tensor:  # noqa: ANN401
        """Rows of nodes [nodes, channels] -> [graphs, channels]."""
        matrix = self.readout.matrix(rows, graph_of_node, size)
        if matrix is None:
            raise SettingError(
                "the nodes are not assigned to graphs one by one; give each node the number of its graph"
            )
        out = self.after(maximum(matrix, rows))
        return self.readout.without_empty(out, matrix)
