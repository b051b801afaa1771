"""Many graphs in one set of tensors, and batches of them."""

from dataclasses import dataclass, fields
from functools import cached_property

import torch
from torch import Tensor

from gnn.errors import DatasetError
from gnn.layers.blocks import Blocks
from gnn.layers.csr_matrix import CsrMatrix, pointer_of
from gnn.layers.graph_convolution import NormalizedAdjacency
from gnn.layers.readout import mean_matrix
from gnn.layers.segment_sparsemax import segment_of_entry
from gnn.tasks.edge_order import by_target, require_nodes


@dataclass(frozen=True, eq=False)
class GraphBatch:
    """Some graphs as one disconnected graph.

    The order of edges says nothing. Raises `DatasetError` for an edge of a node that does not exist.
    Shapes: features [nodes, channels]; edge_index [2, edges] as (source, target); node_pointer [graphs + 1], graph i
    owns the nodes node_pointer[i] to node_pointer[i + 1]; labels [graphs] int64, or the targets of another objective
    than multi-class, a row for each graph.
    """

    features: Tensor
    edge_index: Tensor
    node_pointer: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        require_nodes(self.edge_index, len(self.features))

    @cached_property
    def sorted_edges(self) -> Tensor:
        """The edges by (target, source); where targets ascend they stay as they are, so that sums keep their order."""
        if bool((self.edge_index[1].diff() >= 0).all()):
            return self.edge_index
        return by_target(self.edge_index, len(self.features))

    @cached_property
    def graph_of_node(self) -> Tensor:
        """The number of every node's graph, ascending, [nodes]."""
        return segment_of_entry(self.node_pointer)

    @cached_property
    def adjacency(self) -> CsrMatrix:
        """The edges as a matrix of ones with targets as rows, (nodes, nodes); its product adds up nodes' sources."""
        source, target = self.sorted_edges
        nodes = len(self.features)
        pointer = pointer_of(torch.bincount(target, minlength=nodes))
        return CsrMatrix(pointer, source, self.features.new_ones(len(source)), (nodes, nodes))

    @cached_property
    def normalized_adjacency(self) -> CsrMatrix:
        """D^-1/2 (A + I) D^-1/2 as a matrix, (nodes, nodes); see `NormalizedAdjacency`."""
        return NormalizedAdjacency(self.edge_index, len(self.features)).matrix

    @cached_property
    def node_mean(self) -> CsrMatrix:
        """The matrix that takes the mean over each graph's nodes, (graphs, nodes)."""
        return mean_matrix(self.node_pointer)

    @property
    def graphs(self) -> int:
        """How many graphs there are."""
        return len(self.labels)


@dataclass(frozen=True, eq=False)
class _PreparedBatch(GraphBatch):
    """Some graphs of a collection whose matrices are selected from those of the whole, which has checked its edges."""

    whole: GraphBatch
    blocks: Blocks

    def __post_init__(self) -> None:
        pass

    @cached_property
    def adjacency(self) -> CsrMatrix:
        return self.blocks.of(self.whole.adjacency)

    @cached_property
    def normalized_adjacency(self) -> CsrMatrix:
        return self.blocks.of(self.whole.normalized_adjacency)


@dataclass(frozen=True, eq=False)
class GraphCollection:
    """Graphs with a class or other targets each, stored one after the other; edges never leave their graph.

    Shapes: features [nodes, channels]; edge_index [2, edges] as (source, target) in node numbers of the whole
    collection, sorted by (target, source); node_pointer, edge_pointer [graphs + 1]; labels as in `GraphBatch`.
    """

    features: Tensor
    edge_index: Tensor
    node_pointer: Tensor
    edge_pointer: Tensor
    labels: Tensor

    @classmethod
    def from_edges(
        cls, features: Tensor, edge_index: Tensor, node_pointer: Tensor, labels: Tensor
    ) -> "GraphCollection":
        """Sort edges [2, edges] given in any order.

        Raises `DatasetError` for an edge between two graphs or of a node that does not exist.
        """
        source, target = edge_index = by_target(edge_index, len(features))
        graph = torch.searchsorted(node_pointer, target, right=True) - 1
        crossing = (torch.searchsorted(node_pointer, source, right=True) - 1 != graph).nonzero()
        if len(crossing):
            edge = int(crossing[0])
            raise DatasetError(
                f"the edge from node {int(source[edge])} to node {int(target[edge])} joins two graphs; "
                "give every graph its own nodes"
            )
        edge_pointer = pointer_of(torch.bincount(graph, minlength=len(labels)))
        return cls(features, edge_index, node_pointer, edge_pointer, labels)

    @property
    def tensors(self) -> dict[str, Tensor]:
        """Every tensor by the name of its field."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def select(self, graphs: Tensor) -> GraphBatch:
        """The batch of the graphs with these numbers [batch], in this order."""
        return GraphBatch(*self._tensors_of(Blocks(self.node_pointer, graphs)))

    def select_prepared(self, graphs: Tensor) -> GraphBatch:
        """The same batch, whose matrices are parts of those of the whole collection, which are computed once.

        This is for many batches; of a single one it makes far more than that needs.
        """
        blocks = Blocks(self.node_pointer, graphs)
        return _PreparedBatch(*self._tensors_of(blocks), self._whole, blocks)

    @cached_property
    def _whole(self) -> GraphBatch:
        return GraphBatch(self.features, self.edge_index, self.node_pointer, self.labels)

    def _tensors_of(self, nodes: Blocks) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        edges = Blocks(self.edge_pointer, nodes.chosen)
        shift = torch.repeat_interleave(nodes.row_pointer[:-1] - nodes.first, edges.sizes)
        edge_index = self.edge_index.index_select(1, edges.rows).add_(shift)
        return self.features.index_select(0, nodes.rows), edge_index, nodes.row_pointer, self.labels[nodes.chosen]

    def to(self, device: str) -> "GraphCollection":
        """The collection on another device."""
        return GraphCollection(
            self.features.to(device),
            self.edge_index.to(device),
            self.node_pointer.to(device),
            self.edge_pointer.to(device),
            self.labels.to(device),
        )
