"""Graph convolution over learned edge weights."""

from typing import Any

import torch
from torch import Tensor, nn

from gnn.layers.csr_matrix import CsrMatrix, bag_sum
from gnn.layers.rules import output_axis


class HgpSlConvolution(nn.Module):
    """out = A (x W) + b, differentiable in the weights of the edges too.

    Source: HGP-SL, layers.py, class GCN, whose D^-1/2 A D^-1/2 is handed in. Parameters as there: `weight`
    [in_channels, out_channels] (Glorot), `bias` [out_channels] (zeros). Shapes: features [nodes, in_channels],
    adjacency [nodes, nodes] with targets as rows -> [nodes, out_channels].
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(in_channels, out_channels))
        nn.init.xavier_uniform_(self.weight)
        self.bias = nn.Parameter(torch.zeros(out_channels))

    def forward(self, features: Tensor, adjacency: CsrMatrix) -> Tensor:
        """Project, then aggregate."""
        return aggregate(adjacency, features @ self.weight) + self.bias


output_axis.register(HgpSlConvolution, any_subclass=True)(lambda _layer: -1)


def aggregate(adjacency: CsrMatrix, features: Tensor) -> Tensor:
    """adjacency @ features, with a gradient of the edge weights that gathers nothing.

    Shapes: adjacency [targets, sources], features [sources, channels] -> [targets, channels].
    """
    return _Aggregation.apply(adjacency, adjacency.value, features)  # pyright: ignore[reportReturnType]


class _Aggregation(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, adjacency: CsrMatrix, value: Tensor, features: Tensor) -> Tensor:  # noqa: ANN401
        ctx.adjacency = adjacency
        ctx.save_for_backward(value, features)
        return bag_sum(adjacency.row_pointer, adjacency.column, value, features)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor | None, Tensor | None]:  # noqa: ANN401
        value, features = ctx.saved_tensors
        adjacency: CsrMatrix = ctx.adjacency
        gradient = gradients[0].contiguous()
        of_value = of_features = None
        if ctx.needs_input_grad[1]:
            # An embedding bag has a kernel for inner products of rows, 30 times faster than gathering both rows, and
            # differentiating it by its weights alone is the public way to call that kernel.
            with torch.enable_grad():
                weight = value.detach().requires_grad_()
                product = bag_sum(adjacency.row_pointer, adjacency.column, weight, features.detach())
            (of_value,) = torch.autograd.grad(product, weight, gradient)
        if ctx.needs_input_grad[2]:
            pointer, source_row, order = adjacency.transposition
            of_features = bag_sum(pointer, source_row, value[order], gradient)
        return None, of_value, of_features
