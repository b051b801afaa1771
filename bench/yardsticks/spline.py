"""The yardstick for SplineNet: the same net as the equations read, with dense features and gather-scatter."""

import torch
from torch import Tensor
from torch.nn import functional

from gnn.layers import SplineConvolution, spline_basis
from gnn.models.spline import SplineNet, target_indegree
from gnn.runtime import Inference
from gnn.tasks import NodeClassification


def eager_spline(model: SplineNet, task: NodeClassification) -> Inference:
    """SplineNet's inference in plain eager PyTorch, the graph's spline basis computed once.

    Features are a dense matrix [nodes, channels], messages one row per edge, summed by scatter. It is kinder
    than PyG's own SplineConv, which gathers unprojected features, 1433 wide, for every edge.
    """
    features = task.graph.features.to_dense()
    edge_index, pseudo = task.graph.edge_index, target_indegree(task.graph.edge_index)
    basis, kernel_index = spline_basis(pseudo, model.conv1.grid, model.conv1.is_open, model.conv1.degree)

    @torch.inference_mode()
    def infer() -> Tensor:
        hidden = functional.elu(_convolve(model.conv1, features, edge_index, basis, kernel_index))
        return _convolve(model.conv2, hidden, edge_index, basis, kernel_index)

    return infer


def _convolve(
    layer: SplineConvolution, features: Tensor, edge_index: Tensor, basis: Tensor, kernel_index: Tensor
) -> Tensor:
    source, target = edge_index
    nodes = len(features)
    projected = torch.stack([features @ weight for weight in layer.weight], dim=1)
    messages = (basis[..., None] * projected[source[:, None], kernel_index]).sum(dim=1)
    total = messages.new_zeros(nodes, layer.out_channels).index_add_(0, target, messages)
    mean = total / torch.bincount(target, minlength=nodes).clamp(min=1)[:, None]
    root = 0 if layer.lin is None else layer.lin(features)
    return mean + root + (0 if layer.bias is None else layer.bias)
