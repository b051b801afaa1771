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


def eager_gin(model: Gin, task: GraphClassification) -> Inference:
    """Inference of the net from PyG's layers, with the weights of `model`, on the test graphs as one batch."""
    # PyG takes seconds to import, so only who measures against it pays for it.
    from torch_geometric.nn import GINConv, global_mean_pool  # noqa: PLC0415

    own = copy.deepcopy(model).eval()
    convolutions = [GINConv(cast(nn.Sequential, layer.nn)).eval() for layer in own.convs]
    # GINConv draws the weights of what it is given anew.
    own.load_state_dict(model.state_dict())
    batch = task.batch("test")
    graph_of_node, graphs = batch.graph_of_node, len(batch.labels)

    @torch.inference_mode()
    def infer() -> Tensor:
        hidden = scale_features(batch.features, own.settings.feature_scaling)
        for convolution in convolutions:
            hidden = convolution(hidden, batch.edge_index)
        hidden = functional.relu(own.lin1(global_mean_pool(hidden, graph_of_node, graphs)))
        return own.lin2(hidden)

    return infer
