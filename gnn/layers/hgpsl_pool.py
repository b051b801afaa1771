"""Hierarchical graph pooling with structure learning, without a matrix of all pairs of nodes."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from gnn.errors import SettingError
from gnn.layers.csr_matrix import CsrMatrix
from gnn.layers.neighbourhood import NodePairs, all_pairs, pairs_within_four_hops
from gnn.layers.segment_sparsemax import (
    known_sparsemax,
    segment_of_entry,
    segment_softmax,
    segment_sparsemax,
    sparsemax_support,
)
from gnn.native.library import library, wanted
from gnn.native.pooling import native_learned_edges
from gnn.native.tensors import taken


@dataclass(frozen=True, eq=False)
class PooledGraphs:
    """What is left of a batch of graphs after pooling.

    Shapes: features [nodes, channels]; adjacency [nodes, nodes], entry (i, j) is the weight of the edge from j to i;
    node_pointer [graphs + 1]; chosen [nodes], the numbers the nodes had before, per graph by descending score.
    """

    features: Tensor
    adjacency: CsrMatrix
    node_pointer: Tensor
    chosen: Tensor


class HgpSlPool(nn.Module):
    """Keep the nodes that their neighbours tell least about, and learn the edges between them.

    The information score of node i is the L1 norm of row i of (I - D^-1/2 A^T D^-1/2) x; the ceil(ratio * nodes) nodes
    of a graph with the highest scores stay, equal ones in the order of their numbers. Between them
    e_ij = LeakyReLU(a . [x_i || x_j]) + structure_weight * A_ij, and the new weights of the edges from i are the
    sparsemax (or softmax) of its e_ij. `sample_neighbors` allows edges within four hops only and skips an e_ij that
    is exactly 0; otherwise all pairs of a graph are allowed. A weight of exactly 0 is no edge, equal edges add up.

    Source: Zhang et al., arXiv 1911.05954, sections 3.2 and 3.3; HGP-SL, layers.py. The paper scores with D^-1 A,
    the code with D^-1/2 A D^-1/2 (D counts outgoing weights), and so do we. Parameter: `att` [1, 2 * channels].
    Raises `SettingError` for a ratio outside (0, 1].
    """

    def __init__(
        self,
        channels: int,
        ratio: float,
        *,
        sample_neighbors: bool = True,
        sparse_attention: bool = True,
        structure_learning: bool = True,
        structure_weight: float = 1.0,
        negative_slope: float = 0.2,
    ) -> None:
        super().__init__()
        if not 0 < ratio <= 1:
            raise SettingError(f"pooling ratio {ratio} is outside (0, 1]; give the share of nodes to keep, such as 0.5")
        self.ratio = ratio
        self.sample_neighbors = sample_neighbors
        self.sparse_attention = sparse_attention
        self.structure_learning = structure_learning
        self.structure_weight = structure_weight
        self.negative_slope = negative_slope
        self.att = nn.Parameter(torch.empty(1, 2 * channels))
        nn.init.xavier_uniform_(self.att)

    def forward(self, features: Tensor, adjacency: CsrMatrix, node_pointer: Tensor) -> PooledGraphs:
        """Pool a batch of graphs; arguments as in `PooledGraphs`."""
        with torch.no_grad():
            score = information_score(features, adjacency)
            chosen, chosen_pointer = top_nodes(score, node_pointer, self.ratio)
        kept = features.index_select(0, chosen)
        if self._learns_in_kernels(kept, adjacency):
            return PooledGraphs(kept, self._learn_in_kernels(kept, adjacency, chosen), chosen_pointer, chosen)
        source, target, weight = _induced_edges(adjacency, chosen)
        if self.structure_learning:
            pairs = pairs_within_four_hops(adjacency, chosen) if self.sample_neighbors else all_pairs(chosen_pointer)
            source, target, weight = self._learn(kept, _Candidates(pairs, pairs.position(source, target), weight))
        learned = CsrMatrix.from_coordinates(target, source, weight, (len(chosen), len(chosen)))
        return PooledGraphs(kept, learned, chosen_pointer, chosen)

    def _learn(self, features: Tensor, candidates: "_Candidates") -> tuple[Tensor, Tensor, Tensor]:
        """Source, target and weight of the learned edges."""
        # a . [x_i || x_j] is one number of i plus one of j: nothing as wide as x is made for a pair.
        halves = self.attend(features).unbind(1)
        with torch.no_grad():
            score = self._score(halves, candidates)
        if self.sample_neighbors and not score.all():
            candidates, score = candidates.select(score.nonzero()[:, 0]), score[score != 0]
        if self.sparse_attention:
            candidates = candidates.select(sparsemax_support(score, candidates.pairs.source, len(features)))
        # Outside the support nothing has a gradient, so only the support is computed again with one.
        normalise = segment_sparsemax if self.sparse_attention else segment_softmax
        pairs = candidates.pairs
        weight = normalise(self._score(halves, candidates), pairs.source, len(features))
        edge = weight.detach().nonzero()[:, 0]
        return pairs.source.index_select(0, edge), pairs.target.index_select(0, edge), weight.index_select(0, edge)

    def _learns_in_kernels(self, kept: Tensor, adjacency: CsrMatrix) -> bool:
        """Whether edges are learned with a gradient, in the way that a compiled kernel knows; a runtime has its own."""
        usual = self.structure_learning and self.sample_neighbors and self.sparse_attention
        if not (usual and torch.is_grad_enabled()) or wanted() == "torch" or library() is None:
            return False
        with torch.no_grad():
            return taken(kept, adjacency.value)

    def _learn_in_kernels(self, kept: Tensor, adjacency: CsrMatrix, chosen: Tensor) -> CsrMatrix:
        """The learned edges, to the bit those of `_learn`; only what has a gradient is computed in PyTorch.

        They come by target and not by source, but those of a source have the same order as there, and so have sums.
        """
        halves, nodes = self.attend(kept), len(chosen)
        with torch.no_grad():
            found = native_learned_edges(adjacency, chosen, halves, self.negative_slope, self.structure_weight)
            row, column = found.row, found.column
            learned = row * nodes + column
        source, target, weight = _induced_edges(adjacency, chosen)
        edge = target * nodes + source
        position = torch.searchsorted(learned, edge).clamp_(max=len(learned) - 1)
        known = (learned.index_select(0, position) == edge).nonzero()[:, 0]
        candidates = _Candidates(
            NodePairs(column, row, nodes), position.index_select(0, known), weight.index_select(0, known)
        )
        value = known_sparsemax(self._score(halves.unbind(1), candidates), found.value, column, nodes)
        matrix = CsrMatrix(found.row_pointer, column, value, found.shape)
        matrix.__dict__["compact"] = found.compact
        return matrix

    def attend(self, features: Tensor) -> Tensor:
        """What a node adds to the attention of its edges as source and as target, [nodes, channels] -> [nodes, 2]."""
        return features @ self.att.view(2, -1).t()

    def _score(self, halves: tuple[Tensor, ...], candidates: "_Candidates") -> Tensor:
        """e_ij of every candidate, [pairs]."""
        pairs = candidates.pairs
        attention = halves[0].index_select(0, pairs.source) + halves[1].index_select(0, pairs.target)
        attention = functional.leaky_relu(attention, self.negative_slope)
        return attention.index_add(0, candidates.position, self.structure_weight * candidates.weight)


@dataclass(frozen=True, eq=False)
class _Candidates:
    """Pairs that may become edges, and which of them are edges now: position and weight, both [edges]."""

    pairs: NodePairs
    position: Tensor
    weight: Tensor

    def select(self, chosen: Tensor) -> "_Candidates":
        """Only the pairs with these ascending positions [chosen]."""
        number = chosen.new_full((len(self.pairs.source),), -1)
        number[chosen] = torch.arange(len(chosen), device=chosen.device)
        moved = number.index_select(0, self.position)
        edge = (moved >= 0).nonzero()[:, 0]
        return _Candidates(self.pairs.select(chosen), moved.index_select(0, edge), self.weight.index_select(0, edge))


def degree_normalised(adjacency: CsrMatrix) -> CsrMatrix:
    """D^-1/2 A D^-1/2 with D the sum of the weights that leave a node; 1/0 counts as 0. Not differentiated by D."""
    degree = adjacency.value.new_zeros(adjacency.shape[1])
    degree.index_add_(0, adjacency.column, adjacency.value.detach())
    scale = torch.where(degree == 0, 0, degree.rsqrt())
    value = adjacency.value * scale.index_select(0, adjacency.column) * scale.index_select(0, adjacency.row)
    return CsrMatrix(adjacency.row_pointer, adjacency.column, value, adjacency.shape)


def information_score(features: Tensor, adjacency: CsrMatrix) -> Tensor:
    """How far every node is from what its neighbours say, features [nodes, channels] -> [nodes]."""
    return (features - degree_normalised(adjacency) @ features).abs_().sum(1)


def top_nodes(score: Tensor, node_pointer: Tensor, ratio: float) -> tuple[Tensor, Tensor]:
    """The nodes with the highest scores of each graph, best first, and the node pointer of what is left.

    ceil(ratio * nodes) of every graph; equal scores stay in the order of the nodes. score [nodes], not negative.
    """
    graph, sizes = segment_of_entry(node_pointer), node_pointer.diff()
    # The bits of a float that is not negative are ordered as the float is: one sort instead of two.
    bits = score.float().view(torch.int32).to(torch.int64)
    order = torch.argsort((graph << 32) - bits, stable=True)
    count = (ratio * sizes.float()).ceil().to(sizes.dtype)
    rank = torch.arange(len(score), device=score.device) - node_pointer[graph]
    return order[rank < count[graph]], torch.cat([count.new_zeros(1), count.cumsum(0)])


def _induced_edges(adjacency: CsrMatrix, chosen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Source, target and weight of the edges between chosen nodes, in the new numbers."""
    number = chosen.new_full((adjacency.shape[0],), -1)
    number[chosen] = torch.arange(len(chosen), device=chosen.device)
    target, source = number.index_select(0, adjacency.row), number.index_select(0, adjacency.column)
    edge = ((target >= 0) & (source >= 0)).nonzero()[:, 0]
    return source.index_select(0, edge), target.index_select(0, edge), adjacency.value.index_select(0, edge)
