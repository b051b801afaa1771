"""One row per graph from the rows of its nodes."""

from typing import Any

import torch
from torch import Tensor

from gnn.layers.csr_matrix import CsrMatrix
from gnn.layers.segment_sparsemax import segment_of_entry


def mean_matrix(node_pointer: Tensor) -> CsrMatrix:
    """The matrix that takes the mean over each graph's nodes; a graph without nodes has an empty row.

    Shapes: node_pointer [graphs + 1], graph i owns the nodes node_pointer[i] to node_pointer[i + 1] -> (graphs, nodes).
    """
    sizes, nodes = node_pointer.diff(), int(node_pointer[-1])
    share = torch.repeat_interleave(sizes.clamp(min=1).reciprocal(), sizes)
    each = torch.arange(nodes + 1, device=sizes.device)
    matrix = CsrMatrix(node_pointer, each[:-1], share, (len(sizes), nodes))
    # Each column has one entry, in order, so that there is nothing to sort.
    matrix.__dict__["transposition"] = (each, segment_of_entry(node_pointer), each[:-1])
    return matrix


def max_readout(features: Tensor, graph_of_node: Tensor, graphs: int) -> Tensor:
    """The largest value of each channel over each graph's nodes, 0 for a graph without nodes; differentiable.

    Nodes that share the maximum share its gradient equally, as in PyG's global_max_pool.
    Shapes: features [nodes, width], graph_of_node [nodes] -> [graphs, width].
    """
    if not (torch.is_grad_enabled() and features.requires_grad):
        return _largest(features, graph_of_node, graphs)
    return _MaxReadout.apply(features, graph_of_node, graphs)  # pyright: ignore[reportReturnType]


def _largest(features: Tensor, graph_of_node: Tensor, graphs: int) -> Tensor:
    index = graph_of_node[:, None].expand_as(features)
    return features.new_zeros(graphs, features.shape[1]).scatter_reduce(0, index, features, "amax", include_self=False)


class _MaxReadout(torch.autograd.Function):
    """The gradient is written out because PyTorch's own one takes a hundred times as long as the maximum itself."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, graph_of_node: Tensor, graphs: int) -> Tensor:  # noqa: ANN401
        largest = _largest(features, graph_of_node, graphs)
        ctx.save_for_backward(features, graph_of_node, largest)
        return largest

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401
        features, graph_of_node, largest = ctx.saved_tensors
        # In the memory of the other side of the comparison, since a tensor of this size costs as much as filling it.
        is_largest = largest.index_select(0, graph_of_node).eq_(features)
        sharing = torch.zeros_like(largest).index_add_(0, graph_of_node, is_largest)
        share = (gradients[0] / sharing.clamp(min=1)).index_select(0, graph_of_node)
        return is_largest.mul_(share), None, None
