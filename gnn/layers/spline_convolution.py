"""Spline-based convolution over a graph."""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn

from gnn.errors import SettingError
from gnn.layers.csr_matrix import CsrMatrix
from gnn.layers.rules import output_axis
from gnn.layers.spline_basis import spline_basis


class SplineConvolution(nn.Module):
    """Continuous B-spline convolution.

    x'_i = aggregate over j in N(i) of sum_p B_p(u_ij) x_j W_p, plus x_i W_root, plus b

    Source: SplineCNN (CVPR 2018), equation 3; torch_geometric/nn/conv/spline_conv.py, whose kernels need an
    extension that no wheel ships. Names and shapes of parameters and buffers are the same as there.
    Shapes: weight [kernel points, in_channels, out_channels]; lin.weight [out_channels, in_channels];
    bias [out_channels]. Raises `SettingError` for an unknown aggregation.

    For "add" and "mean" the whole layer is one sparse product: every node's projections to the P kernel
    points and to the root are rows of a table [nodes * (P + 1), out_channels], and the operator built by
    `operator` sums the right rows. Features are projected before they travel over edges.
    """

    kernel_size: Tensor
    is_open_spline: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sequence[int],
        *,
        is_open_spline: Sequence[bool] | None = None,
        degree: int = 1,
        aggregation: str = "mean",
        root_weight: bool = True,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if aggregation not in ("add", "mean", "max"):
            raise SettingError(f"unknown aggregation {aggregation!r}; valid are: add, max, mean")
        self.degree, self.aggregation, self.out_channels = degree, aggregation, out_channels
        self.grid = tuple(kernel_size)
        self.is_open = (True,) * len(self.grid) if is_open_spline is None else tuple(is_open_spline)
        self.register_buffer("kernel_size", torch.tensor(self.grid))
        self.register_buffer("is_open_spline", torch.tensor(self.is_open, dtype=torch.uint8))
        kernel_points = prod(self.grid)
        self.weight = nn.Parameter(torch.empty(kernel_points, in_channels, out_channels))
        self.lin = nn.Linear(in_channels, out_channels, bias=False) if root_weight else None
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weights uniformly within 1 / sqrt(fan-in), as the reference does; the bias starts at zero."""
        points, in_channels, _ = self.weight.shape
        nn.init.uniform_(self.weight, -((points * in_channels) ** -0.5), (points * in_channels) ** -0.5)
        if self.lin is not None:
            nn.init.uniform_(self.lin.weight, -(in_channels**-0.5), in_channels**-0.5)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def operator(self, edge_index: Tensor, pseudo: Tensor, nodes: int) -> CsrMatrix:
        """The sparse matrix [nodes, nodes * tables] that aggregates projected rows, root included.

        Entry (i, j * tables + p) is B_p(u_ij), divided by the in-degree of i for "mean"; entry
        (i, i * tables + P) is 1 for the root. edge_index [2, edges] holds (source, target).
        """
        source, target = edge_index
        basis, kernel_index = spline_basis(pseudo, self.grid, self.is_open, self.degree)
        if self.aggregation == "mean":
            basis = basis / torch.bincount(target, minlength=nodes)[target, None]
        points = prod(self.grid)
        tables = points + (self.lin is not None)
        column = (source[:, None] * tables + kernel_index).flatten()
        row, value = target.repeat_interleave(basis.shape[1]), basis.flatten()
        if self.lin is not None:
            node = torch.arange(nodes, device=row.device)
            row, column = torch.cat([row, node]), torch.cat([column, node * tables + points])
            value = torch.cat([value, value.new_ones(nodes)])
        return CsrMatrix.from_coordinates(row, column, value, (nodes, nodes * tables))

    def stacked_weight(self) -> Tensor:
        """All kernel weights and the root weight side by side, [in_channels, tables * out_channels]."""
        weights = list(self.weight)
        if self.lin is not None:
            weights.append(self.lin.weight.t())
        return torch.cat(weights, dim=1)

    def propagate(self, features: Tensor | CsrMatrix, operator: CsrMatrix) -> Tensor:
        """Convolve features [nodes, in_channels] with an operator built before -> [nodes, out_channels]."""
        projected = features @ self.stacked_weight()
        out = operator @ projected.reshape(-1, self.out_channels)
        return out if self.bias is None else out + self.bias

    def forward(self, features: Tensor | CsrMatrix, edges: Tensor | CsrMatrix, pseudo: Tensor | None = None) -> Tensor:
        """Convolve features along edges with pseudo-coordinates, or with the operator that was built of them.

        Shapes: features [nodes, in_channels]; edges [2, edges] with pseudo [edges, dimension], or an `operator` ->
        [nodes, out_channels].
        """
        if isinstance(edges, CsrMatrix):
            return self.propagate(features, edges)
        if pseudo is None:
            raise SettingError("a spline convolution along edges needs their pseudo-coordinates; give them as well")
        nodes = features.shape[0]
        if self.aggregation == "max":
            return self._maximum(features, edges, pseudo)
        return self.propagate(features, self.operator(edges, pseudo, nodes))

    def _maximum(self, features: Tensor | CsrMatrix, edge_index: Tensor, pseudo: Tensor) -> Tensor:
        """A maximum over edges is no sum, so here the messages are made one by one."""
        source, target = edge_index
        nodes = features.shape[0]
        basis, kernel_index = spline_basis(pseudo, self.grid, self.is_open, self.degree)
        projected = (features @ self.stacked_weight()).reshape(nodes, -1, self.out_channels)
        messages = (basis[..., None] * projected[source[:, None], kernel_index]).sum(1)
        index = target[:, None].expand_as(messages)
        out = messages.new_zeros(nodes, self.out_channels)
        out = out.scatter_reduce(0, index, messages, reduce="amax", include_self=False)
        if self.lin is not None:
            out = out + projected[:, -1]
        return out if self.bias is None else out + self.bias


output_axis.register(SplineConvolution, any_subclass=True)(lambda _layer: -1)
