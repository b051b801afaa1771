"""The tensors of one citation graph, real or planted."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gnn.layers import CsrMatrix


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

    @property
    def features(self) -> CsrMatrix:
        """The words as a sparse matrix of ones, [nodes, features]."""
        return CsrMatrix.from_coordinates(
            self.feature_row, self.feature_column, torch.ones(len(self.feature_row)), self.shape
        )
