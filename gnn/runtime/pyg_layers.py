"""How PyTorch Geometric's convolutions are lowered: those whose message is a neighbour's row, weighed or not."""

from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from gnn.errors import SettingError
from gnn.layers import CsrMatrix
from gnn.layers.rules import lower
from gnn.native import NOTHING, Activation, aggregate, maximum
from gnn.runtime.graph_cache import STRUCTURE, edge_matrix, require_nodes
from gnn.runtime.kernels import Affine, Kernel, Product, product_of, require_numbers

AGGREGATIONS = {"SumAggregation": "sum", "MeanAggregation": "mean", "MaxAggregation": "max"}
CONVOLUTIONS = "torch_geometric.nn.conv."


@dataclass(frozen=True, eq=False)
class Hop:
    """One aggregation: its matrix, and which of the rows that it reads are those it gives, None for all in order."""

    matrix: CsrMatrix
    rows: Tensor | None = None

    def own(self, features: Tensor) -> Tensor:
        """Of features that are read, those of the rows that are given."""
        return features if self.rows is None else features.index_select(0, self.rows)


class Convolution(Kernel):
    """A convolution over edges [2, edges] that runs as matrix products.

    What it does not know, such as a sparse tensor of edges, rows of features with more axes or a gradient of edge
    weights, runs as the layer's own forward. Raises `SettingError` for a layer with an option that it does not know.
    """

    name = "embedding bags and products"
    hops: int = 1
    node_axis: ClassVar[int] = -2

    def __init__(self, layer: Any, *aggregations: str) -> None:  # noqa: ANN401  (PyG is imported by who has it)
        super().__init__()
        require_numbers(*layer.parameters())
        self.activation = NOTHING
        self._own = layer.forward
        self.aggregation = AGGREGATIONS.get(type(layer.aggr_module).__name__, "another way")
        if self.aggregation not in aggregations:
            raise SettingError(f"its messages are aggregated in a way that has no kernel ({layer.aggr_module})")
        if layer.flow != "source_to_target" or layer.node_dim != self.node_axis or layer.decomposed_layers > 1:
            raise SettingError("its flow, node_dim or decomposed_layers is not the usual one")
        if any(hooks for name, hooks in vars(layer).items() if name.endswith("_hooks") and name.startswith("_")):
            raise SettingError("it has hooks")

    def knows(self, sources: Any, targets: Any, edges: Any, weight: Any) -> bool:  # noqa: ANN401
        """Whether these arguments are plain matrices."""
        return (
            is_plain(edges, torch.int64, 2)
            and edges.shape[0] == 2
            and is_plain(sources, torch.float32, 2)
            and (targets is sources or is_plain(targets, torch.float32, 2))
            and (weight is None or (is_plain(weight, torch.float32, 1) and not learns(weight)))
            and (weight is None or weight.shape[0] == edges.shape[1])
        )

    def own(self, *arguments: Any) -> Tensor:  # noqa: ANN401
        """What the layer's own forward gives."""
        return self.activation.in_place(self._own(*arguments))

    def operator(self, nodes: int, edge_index: Tensor, edge_weight: Tensor | None = None) -> CsrMatrix:
        """The matrix of every hop, (nodes, nodes), made once per graph."""
        raise NotImplementedError

    def over(self, x: Tensor, *hops: Hop) -> Tensor:
        """The convolution of rows that it knows over as many hops as it has."""
        raise NotImplementedError

    def matrix(self, edges: Tensor, weight: Tensor | None, shape: tuple[int, int], own: float = 0.0) -> CsrMatrix:
        """What adds up or averages neighbours, made once per graph; for a maximum, its pattern."""
        aggregation, others = self.aggregation, () if weight is None else (weight,)
        key = ("edges", aggregation, shape, own)
        return STRUCTURE.get(
            key, lambda: edge_matrix(edges, weight, shape, aggregation=aggregation, own=own), edges, *others
        )

    def normalised(
        self, edges: Tensor, weight: Tensor | None, nodes: int, *, improved: bool, add_self_loops: bool
    ) -> CsrMatrix:
        """The same of edges that PyG's `gcn_norm` weighs."""
        from torch_geometric.nn.conv.gcn_conv import gcn_norm  # noqa: PLC0415  (who has a layer has it imported)

        def make() -> CsrMatrix:
            require_nodes(edges, (nodes, nodes))
            index, value = gcn_norm(edges, weight, nodes, improved, add_self_loops, dtype=torch.float32)
            return edge_matrix(cast(Tensor, index), value, (nodes, nodes), aggregation=self.aggregation)

        others = () if weight is None else (weight,)
        return STRUCTURE.get(("gcn", self.aggregation, nodes, improved, add_self_loops), make, edges, *others)


def is_plain(tensor: object, dtype: torch.dtype, axes: int) -> bool:
    """Whether something is a dense tensor, or a parameter, of a type and with so many axes."""
    return (
        type(tensor) in (Tensor, nn.Parameter)
        and (plain := cast(Tensor, tensor)).dtype is dtype
        and plain.dim() == axes
        and plain.layout is torch.strided
    )


def learns(tensor: Tensor) -> bool:
    """Whether a gradient of a tensor is wanted now."""
    return tensor.requires_grad and torch.is_grad_enabled()


class Gcn(Convolution):
    """GCNConv; where the layer is `cached`, the first graph's matrix is kept for all others, as it does."""

    def __init__(self, layer: Any) -> None:  # noqa: ANN401
        super().__init__(layer, "sum", "mean")
        self.product = Product(product_of(layer.lin, bias=False).weight, layer.bias)
        self.improved, self.add_self_loops, self.normalize = layer.improved, layer.add_self_loops, layer.normalize
        self.cached = layer.cached and layer.normalize
        if self.normalize and (layer._cached_edge_index is not None or layer._cached_adj_t is not None):
            raise SettingError("it is cached and already has a graph; lower a layer that has not been called")
        self._first: CsrMatrix | None = None

    def forward(self, x: Any, edge_index: Any, edge_weight: Tensor | None = None) -> Tensor:  # noqa: ANN401
        """Normalise once per graph, then one product."""
        if not self.knows(x, x, edge_index, edge_weight):
            return self.own(x, edge_index, edge_weight)
        if self.cached:
            self._first = self._first or self.operator(x.shape[0], edge_index, edge_weight)
        return self.over(x, Hop(self._first or self.operator(x.shape[0], edge_index, edge_weight)))

    def operator(self, nodes: int, edge_index: Tensor, edge_weight: Tensor | None = None) -> CsrMatrix:
        """The normalised adjacency."""
        if not self.normalize:
            return self.matrix(edge_index, edge_weight, (nodes, nodes))
        loops = self.add_self_loops
        return self.normalised(edge_index, edge_weight, nodes, improved=self.improved, add_self_loops=loops)

    def over(self, x: Tensor, *hops: Hop) -> Tensor:
        """One product."""
        return self.product.compute(x, hops[0].matrix, self.product.bias, self.activation)


lower.register(f"{CONVOLUTIONS}gcn_conv.GCNConv")(Gcn)


class Neighbours(Convolution):
    """What a node's neighbours say and what it says itself, each through its own matrix; bipartite graphs as well."""

    def __init__(self, layer: Any, of_neighbours: Any, of_root: Any) -> None:  # noqa: ANN401
        super().__init__(layer, "sum", "mean", "max")
        linear = product_of(of_neighbours)
        self.largest, self.product = linear, Product(linear.weight, linear.bias)
        self.product.own_order_aggregates_first = True
        self.root = self.both = None
        if of_root is not None:
            self.root = Affine(product_of(of_root, bias=False).weight, linear.bias)
            if self.aggregation != "max" and self.product.aggregates_first:
                self.both = Product(torch.cat([linear.weight, self.root.weight]), linear.bias)

    def operator(self, nodes: int, edge_index: Tensor, edge_weight: Tensor | None = None) -> CsrMatrix:
        """The sum, mean or pattern of the edges."""
        return self.matrix(edge_index, edge_weight, (nodes, nodes))

    def over(self, x: Tensor, *hops: Hop) -> Tensor:
        """Convolve nodes of one kind."""
        return self.convolve(x, hops[0].own(x), hops[0].matrix)

    def convolve(self, sources: Tensor, targets: Tensor, matrix: CsrMatrix) -> Tensor:
        """Aggregate, project and add the node's own."""
        if self.both is not None:
            return self.both.of_sums(sources, matrix, self.both.bias, self.activation, targets)
        base = self.product.bias if self.root is None else self.root(targets)
        if self.aggregation == "max":
            return self.largest.of_rows(maximum(matrix, sources), base, self.activation)
        return self.product.compute(sources, matrix, base, self.activation)


class Sage(Neighbours):
    """SAGEConv."""

    def __init__(self, layer: Any) -> None:  # noqa: ANN401
        super().__init__(layer, layer.lin_l, layer.lin_r if layer.root_weight else None)
        self.project = product_of(layer.lin) if layer.project else None
        self.normalize = layer.normalize

    def forward(self, x: Any, edge_index: Any, size: Any = None) -> Tensor:  # noqa: ANN401
        """Project, convolve, normalise."""
        sources, targets = (x, x) if isinstance(x, Tensor) else x
        if size is not None or targets is None or not self.knows(sources, targets, edge_index, None):
            return self.own(x, edge_index, size)
        return self.convolve(sources, targets, self.matrix(edge_index, None, (len(targets), len(sources))))

    def convolve(self, sources: Tensor, targets: Tensor, matrix: CsrMatrix) -> Tensor:
        """The same for a matrix of the edges."""
        if self.project is not None:
            sources = functional.relu(self.project(sources))
        out = super().convolve(sources, targets, matrix)
        return functional.normalize(out, p=2.0, dim=-1) if self.normalize else out

    def activated(self, activation: Activation) -> Kernel | None:
        """The same with an activation, None where it normalises last."""
        return None if self.normalize else super().activated(activation)


lower.register(f"{CONVOLUTIONS}sage_conv.SAGEConv")(Sage)


class Graph(Neighbours):
    """GraphConv."""

    def __init__(self, layer: Any) -> None:  # noqa: ANN401
        super().__init__(layer, layer.lin_rel, layer.lin_root)

    def forward(self, x: Any, edge_index: Any, edge_weight: Tensor | None = None, size: Any = None) -> Tensor:  # noqa: ANN401
        """Convolve."""
        sources, targets = (x, x) if isinstance(x, Tensor) else x
        weighs = self.aggregation == "max" and edge_weight is not None
        if size is not None or targets is None or weighs or not self.knows(sources, targets, edge_index, edge_weight):
            return self.own(x, edge_index, edge_weight, size)
        return self.convolve(sources, targets, self.matrix(edge_index, edge_weight, (len(targets), len(sources))))


lower.register(f"{CONVOLUTIONS}graph_conv.GraphConv")(Graph)


class Hops(Convolution):
    """TAGConv, whose `products` are of 0, 1, ... hops, or SGConv, which has one, of the last hop."""

    def __init__(self, layer: Any) -> None:  # noqa: ANN401
        super().__init__(layer, "sum", "mean")
        if getattr(layer, "cached", False):
            raise SettingError("it is cached, so that it answers for its first input whatever it is given")
        several = hasattr(layer, "lins")
        products = [product_of(lin, bias=not several) for lin in (layer.lins if several else [layer.lin])]
        self.products = nn.ModuleList(Affine(product.weight, None) for product in products)
        bias = layer.bias if several else products[0].bias
        self.bias = None if bias is None else bias.detach()
        self.hops, self.normalize = layer.K, getattr(layer, "normalize", True)
        self.add_self_loops = getattr(layer, "add_self_loops", False)

    def forward(self, x: Any, edge_index: Any, edge_weight: Tensor | None = None) -> Tensor:  # noqa: ANN401
        """One embedding bag per hop."""
        if not self.knows(x, x, edge_index, edge_weight):
            return self.own(x, edge_index, edge_weight)
        return self.over(x, *[Hop(self.operator(x.shape[0], edge_index, edge_weight))] * self.hops)

    def operator(self, nodes: int, edge_index: Tensor, edge_weight: Tensor | None = None) -> CsrMatrix:
        """The edges, normalised or not."""
        if not self.normalize:
            return self.matrix(edge_index, edge_weight, (nodes, nodes))
        loops = self.add_self_loops
        return self.normalised(edge_index, edge_weight, nodes, improved=False, add_self_loops=loops)

    def over(self, x: Tensor, *hops: Hop) -> Tensor:
        """One aggregation per hop; what was read before goes along to the rows of the next hop."""
        out, unread = self.bias, len(hops) + 1 - len(self.products)
        for level in range(len(hops) + 1):
            if level:
                x = aggregate(hops[level - 1].matrix, x)
            if level > unread:
                out = hops[level - 1].own(cast(Tensor, out))
            if level >= unread:
                last = self.activation if level == len(hops) else NOTHING
                out = cast(Affine, self.products[level - unread]).of_rows(x, out, last)
        return cast(Tensor, out)


lower.register(f"{CONVOLUTIONS}tag_conv.TAGConv", f"{CONVOLUTIONS}sg_conv.SGConv")(Hops)
