"""Graph convolution without a weight per edge: scale, sum neighbours, scale."""

from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor, nn

from gnn.layers.csr_matrix import CsrMatrix


class NormalizedAdjacency:
    """D^-1/2 (A + I) D^-1/2 of an unweighted graph, applied as scale, neighbour sum, scale.

    D is the in-degree, self-loops included. A node that has a self-loop gets no second one
    (PyG's `gcn_norm` with `add_remaining_self_loops`). With `self_loops=False` none is added, and a message is scaled
    by its source's out-degree and its target's in-degree, both at least 1 (DGL's GraphConv with norm="both").
    Equal edges add up. Shapes: edge_index [2, edges] as (source, target); `@` maps [nodes, width] to [nodes, width].
    """

    def __init__(self, edge_index: Tensor, nodes: int, *, self_loops: bool = True) -> None:
        if self_loops:
            edge_index = _with_remaining_self_loops(edge_index, nodes)
        source, target = edge_index
        ones = torch.ones(edge_index.shape[1], device=edge_index.device)
        self.sum = CsrMatrix.from_coordinates(target, source, ones, (nodes, nodes))
        in_degree = torch.bincount(target, minlength=nodes)
        out_degree = in_degree if self_loops else torch.bincount(source, minlength=nodes)
        self.target_scale = in_degree.clamp(min=1).rsqrt()[:, None]
        self.source_scale = out_degree.clamp(min=1).rsqrt()[:, None]

    @cached_property
    def matrix(self) -> CsrMatrix:
        """The same as one matrix (nodes, nodes), the two scalings as values of the one between them."""
        of_target, of_source = self.target_scale.flatten(), self.source_scale.flatten()
        return replace(self.sum, value=of_target[self.sum.row] * of_source[self.sum.column])

    def __matmul__(self, features: Tensor) -> Tensor:
        """Aggregate features [nodes, width]; differentiable."""
        return self.target_scale * (self.sum @ (self.source_scale * features))


def _with_remaining_self_loops(edge_index: Tensor, nodes: int) -> Tensor:
    """The edges without self-loops, then one self-loop for each node."""
    others = edge_index[:, edge_index[0] != edge_index[1]]
    return torch.cat([others, torch.arange(nodes, device=edge_index.device).expand(2, -1)], dim=1)


class GraphConvolution(nn.Module):
    """Graph convolution (Kipf and Welling, arXiv 1609.02907): out = A_hat (x W) + b, with A_hat handed in.

    Parameters are named and initialised as in PyG's GCNConv: `lin.weight` [out_channels, in_channels] (Glorot),
    `bias` [out_channels] (zeros).
    Shapes: features [nodes, in_channels], dense or a `CsrMatrix` -> [nodes, out_channels].
    """

    def __init__(self, in_channels: int, out_channels: int, *, bias: bool = True) -> None:
        super().__init__()
        self.lin = nn.Linear(in_channels, out_channels, bias=False)
        nn.init.xavier_uniform_(self.lin.weight)
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None

    def forward(self, features: Tensor | CsrMatrix, adjacency: NormalizedAdjacency | CsrMatrix) -> Tensor:
        """Project, then aggregate."""
        projected = features @ self.lin.weight.t() if isinstance(features, CsrMatrix) else self.lin(features)
        aggregated = adjacency @ projected
        return aggregated if self.bias is None else aggregated + self.bias
