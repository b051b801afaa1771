"""Graph convolution's adjacency of enclosing subgraphs in which every pair is linked."""

import torch
from torch import Tensor

from gnn.layers.enclosing_subgraph import EnclosingSubgraphs
from gnn.layers.graph_convolution import NormalizedAdjacency
from gnn.layers.symmetric_pattern import SymmetricPattern


class LinkedAdjacency(NormalizedAdjacency):
    """D^-1/2 (A + I) D^-1/2 of the enclosing subgraphs with the link of each pair added.

    D counts the neighbours inside the subgraph, the other end of the pair and the node itself.
    Source: the authors' program of arXiv 2110.04375 (DaDaCheng/WalkPooling, src/model.py), which encodes the nodes of
    both graphs on the one with the link.
    Shapes: `@` maps [total nodes, width] to [total nodes, width].
    """

    def __init__(self, subgraphs: EnclosingSubgraphs) -> None:  # pyright: ignore[reportMissingSuperCall]
        pattern = subgraphs.pattern
        self.pattern: SymmetricPattern = pattern
        self.ends = subgraphs.ends.flatten()
        self.other_ends = subgraphs.ends.flip(1).flatten()
        degree = (pattern.degree + 1).index_add(0, self.ends, torch.ones_like(self.ends))
        self.source_scale = self.target_scale = degree.rsqrt()[:, None]
        self.ones = self.source_scale.new_ones(len(pattern.column))

    def __matmul__(self, features: Tensor) -> Tensor:
        """Aggregate features [total nodes, width]; differentiable."""
        scale = self.source_scale.to(features.dtype)
        scaled = scale * features
        total = scaled + self.pattern.neighbour_sum(self.ones.to(features.dtype), scaled)
        return scale * total.index_add(0, self.ends, scaled.index_select(0, self.other_ends))
