"""The yardstick for GNNNet: the same net from PyG's layers, one message per edge, summed by scatter."""

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

from gnn.layers.feature_scaling import scale_features
from gnn.models.gnnnet import GnnNet
from gnn.runtime import Inference
from gnn.tasks import GraphClassification


class EagerGnnNet(nn.Module):
    """The net of PyG's layers, with the weights of a GNNNet."""

    def __init__(self, model: GnnNet) -> None:
        # PyG takes seconds to import, so only who measures against it pays for it.
        from torch_geometric.nn import GCNConv, global_max_pool  # noqa: PLC0415

        super().__init__()
        self.settings, self.pool = model.settings, global_max_pool
        self.convolutions = nn.ModuleList(GCNConv(*widths) for widths in model.settings.widths)
        for convolution, layer in zip(self.convolutions, model.gnn_layers, strict=True):
            convolution.load_state_dict(layer.state_dict())
        self.classifier = copy.deepcopy(model.mlps[0])
        self.eval()

    def forward(self, features: Tensor, edge_index: Tensor, graph_of_node: Tensor, graphs: int) -> Tensor:
        """Logits of every graph of a batch."""
        hidden = scale_features(features, self.settings.feature_scaling)
        for convolution in self.convolutions:
            hidden = functional.elu(convolution(hidden, edge_index))
        return self.classifier(self.pool(hidden, graph_of_node, graphs))


def eager_gnnnet(model: GnnNet, task: GraphClassification) -> Inference:
    """Inference of the net on the test graphs as one batch."""
    batch = task.batch("test")
    eager = EagerGnnNet(model).to(batch.features.device)
    arguments = batch.features, batch.edge_index, batch.graph_of_node, batch.graphs
    return torch.inference_mode()(lambda: eager(*arguments))
