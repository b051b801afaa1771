"""SplineNet as four kernels: one embedding bag per sparse product."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from gnn.layers import CsrMatrix, SplineConvolution, bag_sum
from gnn.models.spline import SplineNet
from gnn.runtime.registry import RUNTIMES
from gnn.tasks import NodeClassification


@dataclass(frozen=True, eq=False)
class SplineInference:
    """SplineNet with its weights stacked and its operator built; call it for logits [nodes, out_channels].

    Words whose weights are all zero are dropped from the features and from the table: what pruning left of
    the first layer is really smaller, and the sum is the same.
    """

    features: CsrMatrix
    operator: CsrMatrix
    weight1: Tensor
    bias1: Tensor
    weight2: Tensor
    bias2: Tensor

    @torch.inference_mode()
    def __call__(self) -> Tensor:
        """Logits of every node."""
        features, operator = self.features, self.operator
        projected = bag_sum(features.row_pointer, features.column, features.value, self.weight1)
        hidden = bag_sum(operator.row_pointer, operator.column, operator.value, projected.view(-1, len(self.bias1)))
        hidden = functional.elu_(hidden.add_(self.bias1))
        projected = (hidden @ self.weight2).view(-1, len(self.bias2))
        return bag_sum(operator.row_pointer, operator.column, operator.value, projected).add_(self.bias2)


@RUNTIMES.register("spline")
@torch.no_grad()
def compile_spline(model: SplineNet, task: NodeClassification) -> SplineInference:
    """Stack the weights, build the operator and drop the words that no weight looks at."""
    inputs = model.prepare(task)
    weight1 = model.conv1.stacked_weight()
    used = (weight1 != 0).any(dim=1)
    return SplineInference(
        features=inputs.features.keep_columns(used),
        operator=inputs.operator,
        weight1=weight1[used],
        bias1=_bias(model.conv1),
        weight2=model.conv2.stacked_weight(),
        bias2=_bias(model.conv2),
    )


def _bias(layer: SplineConvolution) -> Tensor:
    return layer.weight.new_zeros(layer.out_channels) if layer.bias is None else layer.bias.clone()
