"""The reference for GNNNet's runtime: how fast it was when this file was written.

It repeats what `gnn.runtime` makes of the model on purpose and depends on PyTorch, the graphs and the weights alone
(see `bench.yardsticks.spline_reference`). After a change that makes the runtime faster, bring this file up to it.
"""

import torch
from torch import Tensor
from torch.nn import functional

from bench.yardsticks.reference_bag import Bag, bag, bag_of
from gnn.models.gnnnet import GnnNet
from gnn.runtime import Inference
from gnn.tasks import GraphClassification


@torch.no_grad()
def reference_gnnnet(model: GnnNet, task: GraphClassification) -> Inference:
    """Dense GNNNet as one embedding bag, one linear layer and one ELU per convolution."""
    batch, state, layers = task.batch("test"), model.state_dict(), model.settings.layers
    operator = _operator(batch.edge_index, len(batch.features))
    weights = [state[f"gnn_layers.{layer}.lin.weight"].t().clone() for layer in range(layers)]
    biases = [state[f"gnn_layers.{layer}.bias"].clone() for layer in range(layers)]
    classifier = (state["mlps.0.bias"].clone(), state["mlps.0.weight"].t().clone())
    graph_of_node, graphs = batch.graph_of_node, len(batch.labels)
    features, asinh = batch.features, model.settings.feature_scaling == "asinh"

    @torch.inference_mode()
    def infer() -> Tensor:
        hidden = torch.asinh(features) if asinh else features
        for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
            hidden = functional.elu_(torch.addmm(bias, bag(*operator, hidden), weight))
        hidden = bag(*operator, hidden) @ weights[-1]
        index = graph_of_node[:, None].expand_as(hidden)
        empty = hidden.new_zeros(graphs, hidden.shape[1])
        largest = empty.scatter_reduce(0, index, hidden, "amax", include_self=False)
        return torch.addmm(classifier[0], functional.elu_(largest.add_(biases[-1])), classifier[1])

    return infer


def _operator(edge_index: Tensor, nodes: int) -> Bag:
    """Column, row pointer and value of D^-1/2 (A + I) D^-1/2."""
    others = edge_index[:, edge_index[0] != edge_index[1]]
    column, row = torch.cat([others, torch.arange(nodes, device=others.device).expand(2, -1)], dim=1)
    degree = torch.bincount(row, minlength=nodes)
    scale = degree.rsqrt()
    return bag_of(row, column, scale[row] * scale[column], nodes)
