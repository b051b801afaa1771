"""How PyTorch Geometric's convolutions with layers of their own are lowered: GINConv and GINEConv."""

from functools import partial
from typing import Any, cast

import torch
from torch import Tensor

from gnn.layers import CsrMatrix
from gnn.layers.rules import lower
from gnn.native import sum_rectified
from gnn.runtime.graph_cache import STRUCTURE, edges_with_features
from gnn.runtime.kernels import Kernel, product_of
from gnn.runtime.pyg_layers import CONVOLUTIONS, Convolution, Hop, is_plain, learns
from gnn.runtime.sum_then import sum_then


class OwnLayers(Convolution):
    """What a node and its neighbours add up to goes through layers of its own, which are fused at the first call."""

    def __init__(self, layer: Any) -> None:  # noqa: ANN401
        super().__init__(layer, "sum")
        self.nn, self.own_weight = layer.nn, 1.0 + float(layer.eps)

    def transformed(self, *rows: Any) -> Tensor:  # noqa: ANN401
        """What its own layers make of features, or of what a matrix sums up of them."""
        made = vars(self).get("sum_then")
        if made is None:
            precision = "bf16" if self.reads_bfloat16 else "fp32"
            made = vars(self)["sum_then"] = sum_then(self.nn, self.activation, precision, *rows)
        return made(*rows)

    @property
    def ways(self) -> set[str]:
        """How the products of its fused layers were computed until now."""
        steps = getattr(getattr(vars(self).get("sum_then"), "__self__", None), "steps", ())
        return set().union(*[step.ways for step in steps if isinstance(step, Kernel)])


class Gin(OwnLayers):
    """GINConv, whose node counts 1 + eps in the sum of its neighbours."""

    name = "one embedding bag, then its own layers"

    def forward(self, x: Any, edge_index: Any, size: Any = None) -> Tensor:  # noqa: ANN401
        """Add up, then transform."""
        if size is not None or not self.knows(x, x, edge_index, None):
            return self.own(x, edge_index, size)
        return self.over(x, Hop(self.operator(x.shape[0], edge_index)))

    def operator(self, nodes: int, edge_index: Tensor, edge_weight: Tensor | None = None) -> CsrMatrix:
        """The edges, and what a node's own row counts."""
        return self.matrix(edge_index, edge_weight, (nodes, nodes), self.own_weight)

    def over(self, x: Tensor, *hops: Hop) -> Tensor:
        """Add up, then transform."""
        return self.transformed(x, hops[0].matrix)


class GinOfEdges(OwnLayers):
    """GINEConv, whose neighbours' rows have the features of their edges added and are rectified before the sum."""

    name = "one pass over the edges, then its own layers"

    def __init__(self, layer: Any) -> None:  # noqa: ANN401
        super().__init__(layer)
        self.of_edges = None if layer.lin is None else product_of(layer.lin)

    def forward(self, x: Any, edge_index: Any, edge_attr: Any = None, size: Any = None) -> Tensor:  # noqa: ANN401
        """Add up, then transform."""
        sources, targets = (x, x) if isinstance(x, Tensor) else x
        plain = self.knows(sources, targets, edge_index, None) and is_plain(edge_attr, torch.float32, 2)
        if size is not None or not plain or learns(edge_attr) or edge_attr.shape[0] != edge_index.shape[1]:
            return self.own(x, edge_index, edge_attr, size)
        shape = (targets.shape[0], sources.shape[0])
        make = partial(edges_with_features, edge_index, edge_attr, shape)
        matrix, edge = STRUCTURE.get(("edges with features", shape), make, edge_index, edge_attr)
        edge = cast(Tensor, edge)
        edge = edge if self.of_edges is None else self.of_edges(edge)
        if edge.shape[1] != sources.shape[1] or targets.shape[1] != sources.shape[1]:
            return self.own(x, edge_index, edge_attr, size)
        return self.transformed(sum_rectified(matrix, sources, edge, targets, self.own_weight))


lower.register(f"{CONVOLUTIONS}gin_conv.GINConv")(Gin)
lower.register(f"{CONVOLUTIONS}gin_conv.GINEConv")(GinOfEdges)
