"""How PyTorch Geometric's attention is lowered: GAT, GATv2 and SuperGAT, whose messages a softmax of scores weighs."""

from typing import Any, ClassVar

import torch
from torch import Tensor

from gnn.errors import SettingError
from gnn.layers import CsrMatrix
from gnn.layers.rules import lower
from gnn.native import Attention
from gnn.runtime.graph_cache import STRUCTURE, edges_with_features, require_nodes
from gnn.runtime.kernels import Affine, product_of
from gnn.runtime.pyg_layers import CONVOLUTIONS, Convolution, Hop, is_plain, learns

Prepared = tuple[CsrMatrix, Tensor | None]


class AttentionConvolution(Convolution):
    """A convolution that projects nodes, has each head score its edges, and adds up what the scores weigh.

    Calls that ask for the attention's weights or name a size run as the layer's own forward.
    """

    name = "attention in one pass over the edges"
    node_axis: ClassVar[int] = 0

    def __init__(self, layer: Any, attention: Attention, projections: tuple[Any, Any]) -> None:  # noqa: ANN401
        super().__init__(layer, "sum")
        self.attention = attention
        products = [product_of(projection) for projection in projections]
        self.sources, self.targets = products[0], products[1 if projections[0] is not projections[1] else 0]
        self.add_self_loops, self.fill_value = layer.add_self_loops, getattr(layer, "fill_value", None)
        if isinstance(self.fill_value, Tensor):
            raise SettingError("its fill_value for the features of added edges is a tensor")
        self.bias = None if layer.bias is None else layer.bias.detach()
        residual = getattr(layer, "res", None)
        self.residual = None if residual is None else Affine(product_of(residual, bias=False).weight, self.bias)

    def attends(self, x: Any, edges: Any, features: Any = None) -> bool:  # noqa: ANN401
        """Whether these are plain matrices, one of nodes or a pair of sources and targets."""
        sources, targets = (x, x) if isinstance(x, Tensor) else x
        return self.knows(sources, targets, edges, None) and (
            features is None
            or (is_plain(features, torch.float32, 2) and not learns(features) and len(features) == edges.shape[1])
        )

    def attend(self, x: Any, edges: Tensor, features: Tensor | None = None) -> Tensor:  # noqa: ANN401
        """The convolution of nodes, or of a pair of sources and targets; features [edges, width] are of edges."""
        sources, targets = (x, x) if isinstance(x, Tensor) else x
        matrix, edge = self._prepared(edges, features, (len(targets), len(sources)))
        return self._attended(sources, targets, matrix, edge)

    def operator(self, nodes: int, edge_index: Tensor, edge_weight: Tensor | None = None) -> CsrMatrix:  # noqa: ARG002
        """The edges by target, each node's own among them."""
        return self._prepared(edge_index, None, (nodes, nodes))[0]

    def over(self, x: Tensor, *hops: Hop) -> Tensor:
        """Attend among nodes of one kind, without features of edges."""
        return self._attended(x, hops[0].own(x), hops[0].matrix, None)

    def _attended(self, sources: Tensor, targets: Tensor, matrix: CsrMatrix, edge: Tensor | None) -> Tensor:
        projected = self.sources(sources)
        shared = targets is sources and self.targets is self.sources
        rows = (projected, projected if shared else self.targets(targets))
        base = self.bias if self.residual is None else self.residual(targets)
        return self.attention(matrix, rows, self.edge_scores(edge), base, self.activation)

    def edge_scores(self, features: Tensor | None) -> Tensor | None:  # noqa: ARG002
        """What features of edges add to the scores of their heads, [edges, width] -> [edges, heads]."""
        return None

    def _prepared(self, edges: Tensor, features: Tensor | None, shape: tuple[int, int]) -> Prepared:
        key = ("attention", self.add_self_loops, self.fill_value, shape)
        others = () if features is None else (features,)
        return STRUCTURE.get(key, lambda: self._with_loops(edges, features, shape), edges, *others)

    def _with_loops(self, edges: Tensor, features: Tensor | None, shape: tuple[int, int]) -> Prepared:
        """The edges by target, each node's own among them, and their features in this order."""
        from torch_geometric.utils import add_self_loops, remove_self_loops  # noqa: PLC0415

        require_nodes(edges, shape)
        if self.add_self_loops:
            edges, features = remove_self_loops(edges, features)
            edges, features = add_self_loops(edges, features, fill_value=self.fill_value, num_nodes=min(shape))
        return edges_with_features(edges, features, shape)


def _attention(layer: Any, score: str, *of_rows: Tensor) -> Attention:  # noqa: ANN401
    vectors = [attention.detach().flatten().contiguous() for attention in of_rows]
    return Attention(score, layer.heads, layer.out_channels, layer.negative_slope, not layer.concat, *vectors)


class Gat(AttentionConvolution):
    """GATConv; features of edges count where the layer has weights for them."""

    def __init__(self, layer: Any) -> None:  # noqa: ANN401
        both = (layer.lin, layer.lin) if layer.lin is not None else (layer.lin_src, layer.lin_dst)
        super().__init__(layer, _attention(layer, "additive", layer.att_src, layer.att_dst), both)
        self.of_edges: Affine | None = None
        if layer.lin_edge is not None:
            weight = product_of(layer.lin_edge, bias=False).weight.view(-1, layer.heads, layer.out_channels)
            self.of_edges = Affine((weight * layer.att_edge.detach()).sum(2), None)

    def forward(
        self,
        x: Any,  # noqa: ANN401
        edge_index: Any,  # noqa: ANN401
        edge_attr: Any = None,  # noqa: ANN401
        size: Any = None,  # noqa: ANN401
        return_attention_weights: bool | None = None,
    ) -> Any:  # noqa: ANN401
        """Attend, or run the layer's own forward."""
        features = None if self.of_edges is None else edge_attr
        if size is not None or return_attention_weights or not self.attends(x, edge_index, features):
            return self.own(x, edge_index, edge_attr, size, return_attention_weights)
        return self.attend(x, edge_index, features)

    def edge_scores(self, features: Tensor | None) -> Tensor | None:
        """One product with what the weights and the attention are together."""
        return None if features is None or self.of_edges is None else self.of_edges(features)


class GatV2(AttentionConvolution):
    """GATv2Conv without features of edges, which would be as wide as nodes are."""

    def __init__(self, layer: Any) -> None:  # noqa: ANN401
        if layer.lin_edge is not None:
            raise SettingError("it has weights for features of edges, which its kernel has not")
        super().__init__(layer, _attention(layer, "dynamic", layer.att), (layer.lin_l, layer.lin_r))

    def forward(
        self,
        x: Any,  # noqa: ANN401
        edge_index: Any,  # noqa: ANN401
        edge_attr: Any = None,  # noqa: ANN401
        return_attention_weights: bool | None = None,
    ) -> Any:  # noqa: ANN401
        """Attend, or run the layer's own forward."""
        if edge_attr is not None or return_attention_weights or not self.attends(x, edge_index):
            return self.own(x, edge_index, edge_attr, return_attention_weights)
        return self.attend(x, edge_index)


class SuperGat(AttentionConvolution):
    """SuperGATConv; the pairs without an edge that it may be given count in training alone."""

    def __init__(self, layer: Any) -> None:  # noqa: ANN401
        mixed = layer.attention_type == "MX"
        of_rows = (layer.att_l, layer.att_r) if mixed else ()
        super().__init__(layer, _attention(layer, "masked" if mixed else "scaled", *of_rows), (layer.lin, layer.lin))

    def forward(self, x: Any, edge_index: Any, neg_edge_index: Any = None, batch: Any = None) -> Tensor:  # noqa: ANN401
        """Attend."""
        if not isinstance(x, Tensor) or not self.attends(x, edge_index):
            return self.own(x, edge_index, neg_edge_index, batch)
        return self.attend(x, edge_index)


lower.register(f"{CONVOLUTIONS}gat_conv.GATConv")(Gat)
lower.register(f"{CONVOLUTIONS}gatv2_conv.GATv2Conv")(GatV2)
lower.register(f"{CONVOLUTIONS}supergat_conv.SuperGATConv")(SuperGat)
