"""Steps that can be taken for some nodes at a time, and how convolutions are made of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.fx.node import map_aggregate
from torch.nn import functional

from gnn.errors import SettingError
from gnn.layers import CsrMatrix
from gnn.native import NOTHING, aggregate, maximum
from gnn.runtime.blocks.row_tables import MappedRows, MemoryRows, Rows
from gnn.runtime.gin_layers import Gin
from gnn.runtime.kernels import Affine, Product, matrix_of
from gnn.runtime.own_layers import SplineProduct
from gnn.runtime.pyg_layers import Convolution, Gcn, Graph, Hops, Neighbours, Sage


@dataclass(eq=False)
class Step:
    """What gives a row for each node, for any nodes at a time.

    Without `over`, `compute` takes the same rows of all `inputs`. With it, it takes the matrix of the nodes over their
    sources and the sources' rows before them. `given` are rows that are there from the start. A step that `passes` may
    give what it was given, not a copy.
    """

    name: str
    compute: Callable[..., Tensor]
    inputs: tuple["Step", ...] = ()
    over: "OverEdges | CsrMatrix | None" = None
    sources: "Step | None" = None
    tables: int = 1
    given: Rows | None = None
    passes: bool = False

    @property
    def reads(self) -> tuple["Step", ...]:
        """The steps that this one reads."""
        return self.inputs if self.sources is None else (self.sources, *self.inputs)


@dataclass(frozen=True, eq=False)
class GivenArray:
    """Edges [2, edges] or what they weigh [edges], in memory or in a memory map."""

    array: np.ndarray[Any, Any]


@dataclass(frozen=True)
class OverEdges:
    """The matrix of edges whose rows an aggregation needs: `settings` are those of `EdgeRows` or `NormalisedRows`."""

    edges: GivenArray
    weight: GivenArray | None
    normalises: bool
    settings: tuple[tuple[str, Any], ...]


def given_rows(rows: Tensor | CsrMatrix | np.memmap[Any, Any]) -> Step:
    """The step of rows that are there from the start."""
    kept = MappedRows(rows) if isinstance(rows, np.memmap) else MemoryRows(rows)
    return Step("features", lambda: torch.empty(0), given=kept)


def given(value: Any) -> Any:  # noqa: ANN401
    """An argument as steps take it: rows of nodes as a step, edges and their weights as arrays, others as they are."""
    array = value.detach().numpy() if type(value) is Tensor else value
    if not isinstance(array, np.ndarray):
        return value
    kind = (array.dtype, array.ndim)
    if kind == (np.float32, 2):
        return given_rows(array if isinstance(array, np.memmap) else torch.as_tensor(value))
    if (kind == (np.int64, 2) and len(array) == 2) or kind == (np.float32, 1):
        return GivenArray(array)
    raise SettingError(
        f"an argument is {array.dtype} of shape {list(array.shape)}; in blocks of nodes, features are float32 [nodes, "
        "channels], edges int64 [2, edges] and their weights float32 [edges]"
    )


def found(values: Any, kind: type[Any]) -> list[Any]:  # noqa: ANN401
    """What is of a type in nested tuples, lists and dictionaries."""
    those: list[Any] = []
    map_aggregate(values, lambda value: those.append(value) if isinstance(value, kind) else None)
    return those


def rows_of(
    name: str,
    function: Callable[..., Any],
    inputs: Any,  # noqa: ANN401
    options: Any,  # noqa: ANN401
    *,
    passes: bool = False,
) -> Step:
    """The step that calls a function with the rows of those of its arguments that are steps."""
    steps = tuple(dict.fromkeys(found((inputs, options), Step)))

    def compute(*rows: Tensor) -> Tensor:
        of_step = dict(zip(steps, rows, strict=True))
        taken, named = map_aggregate((inputs, options), lambda value: of_step.get(cast(Step, value), cast(Any, value)))
        return function(*taken, **named)

    return Step(name, compute, steps, passes=passes)


def over_edges(kernel: Convolution, edges: GivenArray, weight: GivenArray | None, own: float = 0.0) -> OverEdges:
    """The matrix that a convolution's own `matrix` makes."""
    _require_edges(edges, weight)
    return OverEdges(edges, weight, False, (("aggregation", kernel.aggregation), ("own", own)))


def normalised(kernel: Any, edges: GivenArray, weight: GivenArray | None, *, improved: bool) -> OverEdges:  # noqa: ANN401
    """The matrix that a convolution's own `normalised` makes."""
    _require_edges(edges, weight)
    settings = {"aggregation": kernel.aggregation, "improved": improved, "add_self_loops": kernel.add_self_loops}
    return OverEdges(edges, weight, True, tuple(settings.items()))


def _require_edges(edges: Any, weight: Any) -> None:  # noqa: ANN401
    if not isinstance(edges, GivenArray) or edges.array.ndim != 2 or not isinstance(weight, GivenArray | None):
        raise TypeError("edges are no edge_index")
    if weight is not None and weight.array.shape != edges.array.shape[1:]:
        raise SettingError(f"{edges.array.shape[1]} edges have {len(weight.array)} weights; give one for each")


def product(kernel: Product, features: Any, over: Any, base: Any) -> Step:  # noqa: ANN401
    """A product of edges, features and weights in the kernel's own order, plus a base, [out] or a step."""
    if kernel.shift is not None or kernel.activation != NOTHING:
        raise TypeError("a fused product")
    multiply = kernel.packed.product
    if isinstance(features, CsrMatrix):
        features = given_rows(features)
    if kernel.aggregates_first:
        total = Step("sum", aggregate, over=over, sources=features)
        return rows_of("product", multiply, (total, base, NOTHING), {})
    projected = rows_of("projection", multiply, (features, None, NOTHING), {})
    total = Step("sum", aggregate, over=over, sources=projected, tables=kernel.tables)
    return total if base is None else rows_of("bias", torch.add, (total, base), {})


def _own_product(kernel: Product, features: Any, operator: Any) -> Step:  # noqa: ANN401
    matrix = matrix_of(operator)
    if matrix is None:
        raise TypeError(f"a {type(operator).__name__}")
    return product(kernel, features, matrix, kernel.bias)


def _gcn(kernel: Gcn, x: Step, edge_index: GivenArray, edge_weight: GivenArray | None = None) -> Step:
    if kernel._first is not None:
        raise TypeError("it has kept its first graph")
    if kernel.normalize:
        over = normalised(kernel, edge_index, edge_weight, improved=kernel.improved)
    else:
        over = over_edges(kernel, edge_index, edge_weight)
    return product(kernel.product, x, over, kernel.product.bias)


def _neighbours(kernel: Neighbours, sources: Step, targets: Step, over: OverEdges) -> Step:
    base: Any = kernel.product.bias if kernel.root is None else rows_of("own row", kernel.root, (targets,), {})
    if kernel.aggregation != "max":
        return product(kernel.product, sources, over, base)
    largest = Step("maximum", maximum, over=over, sources=sources)
    return rows_of("product", kernel.largest.of_rows, (largest, base, NOTHING), {})


def _sage(kernel: Sage, x: Any, edge_index: GivenArray, size: None = None) -> Step:  # noqa: ANN401
    sources, targets = (x, x) if isinstance(x, Step) else x
    _require_plain(size, sources, targets)
    if kernel.project is not None:
        sources = rows_of("relu", functional.relu, (rows_of("projection", kernel.project, (sources,), {}),), {})
    out = _neighbours(kernel, sources, targets, over_edges(kernel, edge_index, None))
    return rows_of("length", functional.normalize, (out,), {"p": 2.0, "dim": -1}) if kernel.normalize else out


def _graph(kernel: Graph, x: Any, edge_index: Any, edge_weight: Any = None, size: None = None) -> Step:  # noqa: ANN401
    sources, targets = (x, x) if isinstance(x, Step) else x
    _require_plain(size, sources, targets)
    if kernel.aggregation == "max" and edge_weight is not None:
        raise TypeError("a maximum of weighed messages")
    return _neighbours(kernel, sources, targets, over_edges(kernel, edge_index, edge_weight))


def _require_plain(size: Any, *rows: Any) -> None:  # noqa: ANN401
    if size is not None or not all(isinstance(step, Step) for step in rows):
        raise TypeError("a size, or no rows of targets")


def gin_sum(kernel: Gin, x: Step, edge_index: GivenArray, size: None = None) -> Step:
    """What the layers inside a GINConv are given."""
    _require_plain(size, x)
    return Step("sum", aggregate, over=over_edges(kernel, edge_index, None, kernel.own_weight), sources=x)


def _hops(kernel: Hops, x: Step, edge_index: GivenArray, edge_weight: GivenArray | None = None) -> Step:
    if kernel.normalize:
        over = normalised(kernel, edge_index, edge_weight, improved=False)
    else:
        over = over_edges(kernel, edge_index, edge_weight)
    after = [x]
    for _ in range(kernel.hops):
        after.append(Step("hop", aggregate, over=over, sources=after[-1]))
    out: Any = kernel.bias
    for linear, rows in zip(kernel.products, after[-len(kernel.products) :], strict=True):
        out = rows_of("product", cast(Affine, linear).of_rows, (rows, out, NOTHING), {})
    return out


CONVERT: dict[type[nn.Module], Callable[..., Step]] = {
    Gcn: _gcn,
    Sage: _sage,
    Graph: _graph,
    Hops: _hops,
    Product: _own_product,
    SplineProduct: _own_product,
}
