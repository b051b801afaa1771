"""How PyTorch Geometric's convolutions and pools are written in ONNX: from their own arguments, edges included."""

from functools import partial
from typing import Any

import numpy as np

from gnn.errors import SettingError
from gnn.runtime.onnx_rules import exports, largest, product, written
from gnn.runtime.onnx_writer import Matrix, Name, Writer
from gnn.runtime.pyg_layers import Convolution, Gcn, Gin, Graph, Neighbours, Sage


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


def _edges(write: Writer, layer: Convolution, edges: Any, nodes: Name, *unknown: Any) -> Matrix:  # noqa: ANN401
    """The matrix that adds up or averages what edges [2, edges] bring."""
    if not isinstance(edges, Name) or any(given is not None for given in unknown):
        raise SettingError("only edges [2, edges] without weights or sizes are written in ONNX")
    source, target = (write.once(("end", edges, end), partial(_end, write, edges, end)) for end in (0, 1))
    if layer.aggregation != "mean":
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
    nodes = write.rows_of(features)
    matrix = _edges(write, kernel, edges, nodes, weight)
    if kernel.normalize:
        if kernel.aggregation != "sum" or kernel.improved or kernel.cached:
            raise SettingError("only its usual normalisation is written in ONNX: a sum, not improved, not cached")
        key = ("gcn", edges, kernel.add_self_loops)
        matrix = write.once(key, lambda: _normalised(write, matrix, loops=kernel.add_self_loops))
    return product(write, kernel.product, features, matrix)


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
    matrix = _edges(write, kernel, edges, write.rows_of(features), size)
    own = Matrix(matrix.row, matrix.column, matrix.rows, matrix.value, kernel.own_weight)
    return written(write, kernel.nn, write.aggregate(own, features))


@exports(Sage)
def _sage(write: Writer, kernel: Sage, features: Any, edges: Any, size: Any = None) -> Name:  # noqa: ANN401
    if not isinstance(features, Name) or kernel.project is not None or kernel.normalize:
        raise SettingError("only its usual form is written in ONNX: one graph, not projected, not normalised")
    return _neighbours(write, kernel, features, edges, size)


@exports(Graph)
def _graph(write: Writer, kernel: Graph, features: Any, edges: Any, weight: Any = None, size: Any = None) -> Name:  # noqa: ANN401
    return _neighbours(write, kernel, features, edges, weight, size)


def _neighbours(write: Writer, kernel: Neighbours, features: Any, edges: Any, *unknown: Any) -> Name:  # noqa: ANN401
    if not isinstance(features, Name) or kernel.aggregation == "max":
        raise SettingError("only sums and means over one graph's edges are written in ONNX")
    matrix = _edges(write, kernel, edges, write.rows_of(features), *unknown)
    out = product(write, kernel.product, features, matrix)
    return (
        out if kernel.root is None else write.add("Add", out, write.affine(features, write.constant(kernel.root), None))
    )
