"""GIN with its BatchNorms folded away: an embedding bag and two linear layers per convolution."""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from gnn.layers import CsrMatrix, bag_sum
from gnn.layers.feature_scaling import scale_features
from gnn.layers.readout import mean_matrix
from gnn.models.gin import Gin, GinConvolution
from gnn.runtime.registry import RUNTIMES
from gnn.tasks import GraphClassification


@dataclass(frozen=True, eq=False)
class FoldedLinear:
    """operator @ h, times `weight` [in, out], plus `base` [rows, out] or [out]; what BatchNorm did to h is in both."""

    operator: CsrMatrix
    weight: Tensor
    base: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """Add up rows, then transform."""
        operator = self.operator
        total = bag_sum(operator.row_pointer, operator.column, operator.value, features)
        return torch.addmm(self.base, total, self.weight)


@dataclass(frozen=True, eq=False)
class GinInference:
    """GIN on one batch of graphs; call it for logits [graphs, out_channels].

    `convolutions` holds of each convolution what adds up neighbours, and the second linear layer's weight [in, out] and
    bias [out]; `lin1` takes the mean over nodes, too.
    """

    features: Tensor
    feature_scaling: str
    convolutions: list[tuple[FoldedLinear, Tensor, Tensor]]
    lin1: FoldedLinear
    lin2: tuple[Tensor, Tensor]

    @torch.inference_mode()
    def __call__(self) -> Tensor:
        """Logits of every graph."""
        hidden = scale_features(self.features, self.feature_scaling)
        for add_up, weight, bias in self.convolutions:
            hidden = functional.relu_(torch.addmm(bias, functional.relu_(add_up(hidden)), weight))
        weight, bias = self.lin2
        return torch.addmm(bias, functional.relu_(self.lin1(hidden)), weight)


@RUNTIMES.register("gin")
@torch.no_grad()
def compile_gin(model: Gin, task: GraphClassification) -> GinInference:
    """Build the test batch's matrices and fold every BatchNorm into the linear layer that follows it."""
    batch = task.batch("test")
    neighbours = _with_own_row(batch.adjacency)
    convolutions = cast(list[GinConvolution], list(model.convs))
    compiled = []
    before: nn.BatchNorm1d | None = None
    for convolution in convolutions:
        first, _, second, _, norm = convolution.nn
        compiled.append((_fold(neighbours, before, cast(nn.Linear, first)), *_transposed(cast(nn.Linear, second))))
        before = cast(nn.BatchNorm1d, norm)
    return GinInference(
        features=batch.features,
        feature_scaling=model.settings.feature_scaling,
        convolutions=compiled,
        lin1=_fold(mean_matrix(batch.node_pointer), before, model.lin1),
        lin2=_transposed(model.lin2),
    )


def _with_own_row(neighbours: CsrMatrix) -> CsrMatrix:
    """The matrix plus the identity."""
    node = torch.arange(neighbours.shape[0], device=neighbours.column.device)
    row, column = torch.cat([neighbours.row, node]), torch.cat([neighbours.column, node])
    value = torch.cat([neighbours.value, torch.ones_like(node, dtype=neighbours.value.dtype)])
    return CsrMatrix.from_coordinates(row, column, value, neighbours.shape)


def _fold(operator: CsrMatrix, norm: nn.BatchNorm1d | None, linear: nn.Linear) -> FoldedLinear:
    """linear(operator @ norm(h)) as (operator @ h) W + base.

    norm(h) = s h + t in evaluation mode, so that W = diag(s) V and base = b + (row sums of the operator) (t V), for
    V [in, out] and b of the linear layer. A node's row sum is 1 + its in-degree, hence a base per row.
    """
    weight, bias = _transposed(linear)
    if norm is None:
        return FoldedLinear(operator, weight, bias)
    mean, variance = cast(Tensor, norm.running_mean), cast(Tensor, norm.running_var)
    scale = norm.weight * (variance + norm.eps).rsqrt()
    shift = norm.bias - mean * scale
    row_sums = operator @ torch.ones(operator.shape[1], 1, device=weight.device)
    return FoldedLinear(operator, scale[:, None] * weight, row_sums * (shift @ weight) + bias)


def _transposed(linear: nn.Linear) -> tuple[Tensor, Tensor]:
    return linear.weight.t().clone(), linear.bias.clone()
