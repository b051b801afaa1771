"""The yardstick for GNNNet: the same net from PyG's layers, one message per edge, summed by scatter."""

import copy

import torch
from torch import Tensor
from torch.nn import functional

from gnn.layers.feature_scaling import scale_features
from gnn.models.gnnnet import GnnNet
from gnn.runtime import Inference
from gnn.tasks import GraphClassification


def eager_gnnnet(model: GnnNet, task: GraphClassification) -> Inference:
    """Inference of the net from PyG's layers, with the weights of `model`, on the test graphs as one batch."""
    # PyG takes seconds to import, so only who measures against it pays for it.
    from torch_geometric.nn import GCNConv, global_max_pool  # noqa: PLC0415

    own = copy.deepcopy(model).eval()
    convolutions = [GCNConv(*widths).eval() for widths in own.settings.widths]
    for convolution, layer in zip(convolutions, own.gnn_layers, strict=True):
        convolution.load_state_dict(layer.state_dict())
    batch = task.batch("test")
    graph_of_node, graphs = batch.graph_of_node, len(batch.labels)

    @torch.inference_mode()
    def infer() -> Tensor:
        hidden = scale_features(batch.features, own.settings.feature_scaling)
        for convolution in convolutions:
            hidden = functional.elu(convolution(hidden, batch.edge_index))
        return own.mlps[0](global_max_pool(hidden, graph_of_node, graphs))

    return infer
