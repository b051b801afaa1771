"""Pairs of nodes between which an edge may be learned."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gnn.layers.csr_matrix import CsrMatrix
from gnn.layers.segment_sparsemax import segment_of_entry


@dataclass(frozen=True, eq=False)
class NodePairs:
    """Ordered pairs of nodes, each at most once, sorted by (source, target); both [pairs] int64."""

    source: Tensor
    target: Tensor
    nodes: int

    def position(self, source: Tensor, target: Tensor) -> Tensor:
        """Where given pairs stand in the list, source and target [given] -> [given]; all must be in it."""
        return torch.searchsorted(self.source * self.nodes + self.target, source * self.nodes + target)

    def select(self, pairs: Tensor) -> "NodePairs":
        """The pairs with these ascending positions [selected]."""
        return NodePairs(self.source.index_select(0, pairs), self.target.index_select(0, pairs), self.nodes)


def all_pairs(node_pointer: Tensor) -> NodePairs:
    """Every ordered pair of nodes of one graph, a node with itself too; graph i owns node_pointer[i] to [i + 1]."""
    graph = segment_of_entry(node_pointer)
    partners = node_pointer.diff()[graph]
    pair_pointer = torch.cat([partners.new_zeros(1), partners.cumsum(0)])
    source = segment_of_entry(pair_pointer)
    first_target = node_pointer[graph] - pair_pointer[:-1]
    target = torch.arange(len(source), device=source.device) + first_target.index_select(0, source)
    return NodePairs(source, target, len(graph))


def pairs_within_four_hops(adjacency: CsrMatrix, chosen: Tensor) -> NodePairs:
    """Pairs of chosen nodes joined by a walk of at most four edges, through any nodes; a node with itself too.

    The pattern of (I + A)^4 in the rows and columns of `chosen`, from two products that only ever hold walks that end
    in a chosen node. HGP-SL says three hops, but joins the edges twice with their own square, which reaches four.

    Shapes: adjacency [nodes, nodes] with targets as rows; chosen [chosen nodes], pairs are numbered as in there.
    """
    # Whoever only runs a model that has no such layer needs no SciPy.
    from scipy.sparse import csr_array, eye_array  # noqa: PLC0415

    device = chosen.device
    column, pointer = (part.to("cpu", torch.int32).numpy() for part in (adjacency.column, adjacency.row_pointer))
    edges = csr_array((np.ones(len(column), dtype=bool), column, pointer), shape=adjacency.shape)
    step = (edges + eye_array(adjacency.shape[0], dtype=bool, format="csr")).tocsr()
    ends = chosen.cpu().numpy()
    walks = (step[ends] @ step) @ (step @ step[:, ends])
    # Turning the matrix round makes sources its rows, and sorts them.
    by_source = walks.T.tocsr()
    pointer, target = (torch.from_numpy(part).to(device, torch.int64) for part in (by_source.indptr, by_source.indices))
    return NodePairs(segment_of_entry(pointer), target, len(chosen))
