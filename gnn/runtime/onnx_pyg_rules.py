"""How PyTorch Geometric's convolutions and pools are written in ONNX: from their own arguments, edges included."""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from torch import nn

from gnn.errors import SettingError
from gnn.quantization.pyg_layers import QuantizedMessagePassing
from gnn.runtime.gin_layers import Gin
from gnn.runtime.onnx_rules import exports, largest, product, written
from gnn.runtime.onnx_writer import Matrix, Name, Writer
from gnn.runtime.pyg_layers import AGGREGATIONS, CONVOLUTIONS, Gcn, Graph, Neighbours, Sage


def _graphs_of(write: Writer, batch: Name | None, size: Any) -> Name:  # noqa: ANN401
    """How many graphs PyG takes a batch for, [1]."""
    if batch is None:
        raise SettingError("it reads one graph without a batch; give the batch as well")
    if isinstance(size, int):
        return write.numbers(size)
    if size is not None:
        return size
    last = write.once(("last", batch), lambda: write.add("ReduceMax", batch, write.numbers(0), keepdims=1))
    return write.once(("graphs", batch), lambda: write.add("Add", last, write.numbers(1)))


@exports("global_max_pool")
def _global_max(write: Writer, features: Name, batch: Name | None, size: Any = None) -> Name:  # noqa: ANN401
    graphs = _graphs_of(write, batch, size)
    return largest(write, features, batch, graphs)  # pyright: ignore[reportArgumentType]


@exports("global_add_pool")
def _global_sum(write: Writer, features: Name, batch: Any, size: Any = None) -> Name:  # noqa: ANN401
    return write.scatter("add", 0.0, features, batch, _graphs_of(write, batch, size))


@exports("global_mean_pool")
def _global_mean(write: Writer, features: Name, batch: Any, size: Any = None) -> Name:  # noqa: ANN401
    total = _global_sum(write, features, batch, size)
    nodes = write.entries_of(batch, _graphs_of(write, batch, size))
    return write.add("Div", total, write.add("Max", nodes, write.number(1.0)))


def _edges(write: Writer, aggregation: str, edges: Any, nodes: Name, *unknown: Any) -> Matrix:  # noqa: ANN401
    """The matrix that adds up or averages what edges [2, edges] bring."""
    if not isinstance(edges, Name) or any(given is not None for given in unknown):
        raise SettingError("only edges [2, edges] without weights or sizes are written in ONNX")
    source, target = (write.once(("end", edges, end), partial(_end, write, edges, end)) for end in (0, 1))
    if aggregation not in ("sum", "mean"):
        raise SettingError("only sums and means over edges are written in ONNX")
    if aggregation == "sum":
        return Matrix(target, source, nodes)
    return write.once(("mean", edges, nodes), lambda: _averaging(write, Matrix(target, source, nodes)))


def _end(write: Writer, edges: Name, end: int) -> Name:
    return write.add("Gather", edges, write.constant(np.array(end, dtype=np.int64)), axis=0)


def _averaging(write: Writer, matrix: Matrix) -> Matrix:
    """The matrix of ones with the rows divided by how many entries each has."""
    entries = write.add("Squeeze", write.entries_of(matrix.row, matrix.rows), write.numbers(1))
    share = write.add("Reciprocal", write.add("Max", entries, write.number(1.0)))
    value = write.add("Gather", share, matrix.row, axis=0)
    return Matrix(matrix.row, matrix.column, matrix.rows, value)


@exports(Gcn)
def _gcn(write: Writer, kernel: Gcn, features: Name, edges: Any, weight: Any = None) -> Name:  # noqa: ANN401
    return product(write, kernel.product, features, _of_gcn(write, kernel, kernel.aggregation, features, edges, weight))


def _of_gcn(write: Writer, settings: Any, aggregation: str, features: Name, edges: Any, weight: Any) -> Matrix:  # noqa: ANN401
    matrix = _edges(write, aggregation, edges, write.rows_of(features), weight)
    if not settings.normalize:
        return matrix
    if aggregation != "sum" or settings.improved or settings.cached:
        raise SettingError("only its usual normalisation is written in ONNX: a sum, not improved, not cached")
    key = ("gcn", edges, settings.add_self_loops)
    return write.once(key, lambda: _normalised(write, matrix, loops=settings.add_self_loops))


def _normalised(write: Writer, matrix: Matrix, *, loops: bool) -> Matrix:
    """D^-1/2 A D^-1/2 with D the in-degree; with `loops`, each node has exactly one self-loop."""
    row, column = matrix.row, matrix.column
    if loops:
        other = write.add("Not", write.add("Equal", row, column))
        zero, one = (write.constant(np.array(number, dtype=np.int64)) for number in (0, 1))
        nodes = write.add("Range", zero, write.add("Squeeze", matrix.rows), one)
        row, column = (
            write.add("Concat", write.add("Compress", ends, other, axis=0), nodes, axis=0) for ends in (row, column)
        )
    degree = write.add("Squeeze", write.entries_of(row, matrix.rows), write.numbers(1))
    # Where nothing arrives nothing is divided, and what such a node sends counts nothing.
    some = write.add("Greater", degree, write.number(0.0))
    scale = write.add("Where", some, write.add("Pow", degree, write.number(-0.5)), write.number(0.0))
    ends = (write.add("Gather", scale, end, axis=0) for end in (row, column))
    return Matrix(row, column, matrix.rows, write.add("Mul", *ends))


@exports(Gin)
def _gin(write: Writer, kernel: Gin, features: Name, edges: Any, size: Any = None) -> Name:  # noqa: ANN401
    return _sum_and_own(write, kernel.nn, kernel.own_weight, features, edges, size)


def _sum_and_own(write: Writer, inner: nn.Module, own: float, features: Name, edges: Any, size: Any) -> Name:  # noqa: ANN401
    matrix = replace(_edges(write, "sum", edges, write.rows_of(features), size), own=own)
    return written(write, inner, write.aggregate(matrix, features))


@exports(Sage)
def _sage(write: Writer, kernel: Sage, features: Any, edges: Any, size: Any = None) -> Name:  # noqa: ANN401
    _require_usual(kernel)
    return _neighbours(write, kernel, features, edges, size)


def _require_usual(settings: Any) -> None:  # noqa: ANN401
    if settings.project or settings.normalize:
        raise SettingError("only its usual form is written in ONNX, neither projected nor normalised")


@exports(Graph)
def _graph(write: Writer, kernel: Graph, features: Any, edges: Any, weight: Any = None, size: Any = None) -> Name:  # noqa: ANN401
    return _neighbours(write, kernel, features, edges, weight, size)


def _neighbours(write: Writer, kernel: Neighbours, features: Any, edges: Any, *unknown: Any) -> Name:  # noqa: ANN401
    if not isinstance(features, Name):
        raise SettingError("only one graph's edges are written in ONNX, not those between two kinds of nodes")
    matrix = _edges(write, kernel.aggregation, edges, write.rows_of(features), *unknown)
    out = product(write, kernel.product, features, matrix)
    if kernel.root is None:
        return out
    # The bias of both is in the one already.
    return write.add("Add", out, write.affine(features, write.constant(kernel.root.weight), None))


@exports(QuantizedMessagePassing)
def _quantized(write: Writer, layer: Any, features: Any, edges: Any, *unknown: Any) -> Name:  # noqa: ANN401
    """A convolution whose products are on integers, and whose messages are in FP32."""
    if not all(isinstance(getattr(layer, place), nn.Identity) for place in ("messages", "aggregates", "updates")):
        raise SettingError("it quantizes messages, which only our own convolutions are written with")
    names = (kind.__name__ for kind in type(layer).__mro__ if kind.__module__.startswith(CONVOLUTIONS))
    if (rule := QUANTIZED.get(next(names))) is None or not isinstance(features, Name):
        raise SettingError(f"a {type(layer).__name__} has no rule in gnn.runtime.onnx_pyg_rules.QUANTIZED")
    aggregation = AGGREGATIONS.get(type(layer.aggr_module).__name__, "another way")
    return rule(write, layer, aggregation, features, edges, *unknown)


def _quantized_gcn(write: Writer, layer: Any, aggregation: str, features: Name, edges: Any, weight: Any = None) -> Name:  # noqa: ANN401
    matrix = _of_gcn(write, layer, aggregation, features, edges, weight)
    total = write.aggregate(matrix, written(write, layer.lin, features))
    return total if layer.bias is None else write.add("Add", total, write.constant(layer.bias))


def _quantized_sage(write: Writer, layer: Any, *call: Any) -> Name:  # noqa: ANN401
    _require_usual(layer)
    return _quantized_neighbours(write, layer.lin_l, layer.lin_r if layer.root_weight else None, *call)


def _quantized_neighbours(
    write: Writer,
    of_neighbours: nn.Module,
    of_root: nn.Module | None,
    aggregation: str,
    features: Name,
    edges: Any,  # noqa: ANN401
    *unknown: Any,  # noqa: ANN401
) -> Name:
    matrix = _edges(write, aggregation, edges, write.rows_of(features), *unknown)
    out = written(write, of_neighbours, write.aggregate(matrix, features))
    return out if of_root is None else write.add("Add", out, written(write, of_root, features))


# By the convolution's own name.
QUANTIZED = {
    "GCNConv": _quantized_gcn,
    "SAGEConv": _quantized_sage,
    "GraphConv": lambda write, layer, *call: _quantized_neighbours(write, layer.lin_rel, layer.lin_root, *call),
    "GINConv": lambda write, layer, _sum, x, edges: _sum_and_own(write, layer.nn, 1 + float(layer.eps), x, edges, None),
}
