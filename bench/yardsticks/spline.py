"""The yardstick for SplineNet: the same net as the equations read, with dense features and gather-scatter."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from gnn.layers import SplineConvolution, spline_basis
from gnn.models.spline import SplineNet, target_indegree
from gnn.runtime import Inference
from gnn.tasks import NodeClassification


@dataclass(frozen=True, eq=False)
class EagerInputs:
    """Dense features [nodes, channels], edges [2, edges], and the spline basis [edges, 2], computed once."""

    features: Tensor
    edge_index: Tensor
    basis: Tensor
    kernel_index: Tensor


class EagerSplineNet(SplineNet):
    """SplineNet in plain eager PyTorch: one message per edge, summed by scatter.

    It is kinder than PyG's own SplineConv, which gathers unprojected features, 1433 wide, for every edge.
    """

    def prepare(self, task: NodeClassification) -> EagerInputs:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Make the features dense and evaluate the basis."""
        graph, layer = task.graph, self.conv1
        pseudo = target_indegree(graph.edge_index)
        basis, kernel_index = spline_basis(pseudo, layer.grid, layer.is_open, layer.degree)
        return EagerInputs(graph.features.to_dense(), graph.edge_index, basis, kernel_index)

    def forward(self, inputs: EagerInputs) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Logits of every node."""
        dropout = self.settings.dropout
        features = functional.dropout(inputs.features, dropout, self.training)
        hidden = functional.elu(_convolve(self.conv1, features, inputs))
        return _convolve(self.conv2, functional.dropout(hidden, dropout, self.training), inputs)


def eager_spline(model: SplineNet, task: NodeClassification) -> Inference:
    """Inference of the eager net with the weights of `model`."""
    eager = EagerSplineNet(model.settings)
    eager.load_state_dict(model.state_dict())
    eager.to(model.conv1.weight.device).eval()
    inputs = eager.prepare(task)
    return torch.inference_mode()(lambda: eager(inputs))


def _convolve(layer: SplineConvolution, features: Tensor, inputs: EagerInputs) -> Tensor:
    source, target = inputs.edge_index
    nodes = len(features)
    projected = torch.stack([features @ weight for weight in layer.weight], dim=1)
    messages = (inputs.basis[..., None] * projected[source[:, None], inputs.kernel_index]).sum(dim=1)
    total = messages.new_zeros(nodes, layer.out_channels).index_add(0, target, messages)
    mean = total / torch.bincount(target, minlength=nodes).clamp(min=1)[:, None]
    root = 0 if layer.lin is None else layer.lin(features)
    return mean + root + (0 if layer.bias is None else layer.bias)
