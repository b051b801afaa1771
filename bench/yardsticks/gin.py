"""The yardstick for GIN: the same net from PyG's layers, one message per edge, summed by scatter."""

import copy
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from gnn.layers.feature_scaling import scale_features
from gnn.models.gin import Gin
from gnn.runtime import Inference
from gnn.tasks import GraphClassification


class EagerGin(nn.Module):
    """The net of PyG's layers, with the weights of a GIN."""

    def __init__(self, model: Gin) -> None:
        # PyG takes seconds to import, so only who measures against it pays for it.
        from torch_geometric.nn import GINConv, global_mean_pool  # noqa: PLC0415

        super().__init__()
        own = copy.deepcopy(model)
        self.settings, self.pool = own.settings, global_mean_pool
        self.convolutions = nn.ModuleList(GINConv(cast(nn.Sequential, layer.nn)) for layer in own.convs)
        # GINConv draws the weights of what it is given anew.
        own.load_state_dict(model.state_dict())
        self.lin1, self.lin2 = own.lin1, own.lin2
        self.eval()

    def forward(self, features: Tensor, edge_index: Tensor, graph_of_node: Tensor, graphs: int) -> Tensor:
        """Logits of every graph of a batch."""
        hidden = scale_features(features, self.settings.feature_scaling)
        for convolution in self.convolutions:
            hidden = convolution(hidden, edge_index)
        return self.lin2(functional.relu(self.lin1(self.pool(hidden, graph_of_node, graphs))))


def eager_gin(model: Gin, task: GraphClassification) -> Inference:
    """Inference of the net on the test graphs as one batch."""
    batch = task.batch("test")
    eager = EagerGin(model).to(batch.features.device)
    arguments = batch.features, batch.edge_index, batch.graph_of_node, batch.graphs
    return torch.inference_mode()(lambda: eager(*arguments))
