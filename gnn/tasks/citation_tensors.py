"""The tensors of one citation graph, real or planted."""

from dataclasses import dataclass

from torch import Tensor


# Comparing two instances field by field would ask a tensor for its truth value, so equality is identity.
@dataclass(frozen=True, eq=False)
class CitationTensors:
    """Hold a citation graph with sparse 0/1 word features and one class per node.

    Shapes: `feature_row`, `feature_column` [nonzeros] int64, the ones of the feature matrix, distinct and
    sorted by (row, column); `edge_index` [2, 2 * undirected_edges] int64, both directions of every edge,
    sorted by (source, target), without duplicates or self-loops; `labels` [nodes] int64;
    `shape` = (nodes, features).
    """

    feature_row: Tensor
    feature_column: Tensor
    edge_index: Tensor
    labels: Tensor
    shape: tuple[int, int]
