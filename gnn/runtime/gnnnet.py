"""GNNNet as one embedding bag, one linear layer and one ELU per convolution."""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional

from gnn.layers import CsrMatrix, GraphConvolution, bag_sum
from gnn.layers.feature_scaling import scale_features
from gnn.layers.readout import max_readout
from gnn.models.gnnnet import GnnNet, normalized_matrix
from gnn.runtime.registry import RUNTIMES
from gnn.tasks import GraphClassification


@dataclass(frozen=True, eq=False)
class GnnNetInference:
    """GNNNet on one batch of graphs; call it for logits [graphs, out_channels].

    Each convolution aggregates before it projects, where its input is narrower and the bias is free, and the last one
    takes the maximum over nodes before bias and ELU: both are increasing, so that they may as well follow. A graph
    without nodes has neither.
    Shapes: operator (nodes, nodes) with the normalisation as its values; weights [in, out] and biases [out].
    """

    features: Tensor
    feature_scaling: str
    graph_of_node: Tensor
    graphs: int
    empty_graphs: Tensor
    operator: CsrMatrix
    convolutions: list[tuple[Tensor, Tensor]]
    classifier: tuple[Tensor, Tensor]

    @torch.inference_mode()
    def __call__(self) -> Tensor:
        """Logits of every graph."""
        hidden = scale_features(self.features, self.feature_scaling)
        *convolutions, (last_weight, last_bias) = self.convolutions
        for weight, bias in convolutions:
            hidden = functional.elu_(torch.addmm(bias, self._aggregate(hidden), weight))
        largest = max_readout(self._aggregate(hidden) @ last_weight, self.graph_of_node, self.graphs)
        hidden = functional.elu_(largest.add_(last_bias)).index_fill_(0, self.empty_graphs, 0)
        weight, bias = self.classifier
        return torch.addmm(bias, hidden, weight)

    def _aggregate(self, features: Tensor) -> Tensor:
        operator = self.operator
        return bag_sum(operator.row_pointer, operator.column, operator.value, features)


@RUNTIMES.register("gnnnet")
@torch.no_grad()
def compile_gnnnet(model: GnnNet, task: GraphClassification) -> GnnNetInference:
    """Build the normalized adjacency of the test batch and take the weights out of the model."""
    batch = task.batch("test")
    return GnnNetInference(
        features=batch.features,
        feature_scaling=model.settings.feature_scaling,
        graph_of_node=batch.graph_of_node,
        graphs=len(batch.labels),
        empty_graphs=(batch.node_pointer.diff() == 0).nonzero()[:, 0],
        operator=normalized_matrix(batch),
        convolutions=[
            (layer.lin.weight.t().clone(), cast(Tensor, layer.bias).clone())
            for layer in cast(list[GraphConvolution], list(model.gnn_layers))
        ],
        classifier=(cast(Tensor, model.mlps[0].weight).t().clone(), cast(Tensor, model.mlps[0].bias).clone()),
    )
