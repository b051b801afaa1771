"""The reference for GIN's runtime: how fast it was when this file was written.

It repeats what `gnn.runtime` makes of the model on purpose and depends on PyTorch, the graphs and the weights alone
(see `bench.yardsticks.spline_reference`). After a change that makes the runtime faster, bring this file up to it.
"""

import torch
from torch import Tensor
from torch.nn import functional

from bench.yardsticks.reference_bag import Bag, bag, bag_of
from gnn.models.gin import Gin
from gnn.runtime import Inference
from gnn.tasks import GraphClassification

NORM_EPSILON = 1e-5


@torch.no_grad()
def reference_gin(model: Gin, task: GraphClassification) -> Inference:
    """Dense GIN as one embedding bag and two linear layers per convolution, BatchNorm folded into the next layer."""
    batch, state = task.batch("test"), model.state_dict()
    neighbours = _with_self(batch.edge_index, len(batch.features))
    layers = []
    for layer in range(model.settings.layers):
        first, second = _linear(state, f"convs.{layer}.nn.0"), _linear(state, f"convs.{layer}.nn.2")
        layers.append((*_fold(state, layer - 1, neighbours, first), *second))
    mean = _mean(batch.node_pointer)
    last = _fold(state, model.settings.layers - 1, mean, _linear(state, "lin1"))
    features, asinh, classifier = batch.features, model.settings.feature_scaling == "asinh", _linear(state, "lin2")

    @torch.inference_mode()
    def infer() -> Tensor:
        hidden = torch.asinh(features) if asinh else features
        for weight, base, second_weight, second_bias in layers:
            inner = functional.relu_(torch.addmm(base, bag(*neighbours, hidden), weight))
            hidden = functional.relu_(torch.addmm(second_bias, inner, second_weight))
        hidden = functional.relu_(torch.addmm(last[1], bag(*mean, hidden), last[0]))
        return torch.addmm(classifier[1], hidden, classifier[0])

    return infer


def _linear(state: dict[str, Tensor], name: str) -> tuple[Tensor, Tensor]:
    return state[f"{name}.weight"].t().clone(), state[f"{name}.bias"].clone()


def _fold(state: dict[str, Tensor], norm: int, rows: Bag, linear: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Weight and base of a linear layer on sums of `rows` that the BatchNorm of convolution `norm` has scaled."""
    if norm < 0:
        return linear
    of_norm = {name: state[f"convs.{norm}.nn.4.{name}"] for name in ("weight", "bias", "running_mean", "running_var")}
    scale = of_norm["weight"] * (of_norm["running_var"] + NORM_EPSILON).rsqrt()
    shift = of_norm["bias"] - of_norm["running_mean"] * scale
    row_sums = bag(*rows, torch.ones(int(rows[0].max()) + 1, 1, device=scale.device))
    return scale[:, None] * linear[0], row_sums * (shift @ linear[0]) + linear[1]


def _with_self(edge_index: Tensor, nodes: int) -> Bag:
    """Column, row pointer and value of the adjacency plus the identity."""
    node = torch.arange(nodes, device=edge_index.device)
    column, row = torch.cat([edge_index[0], node]), torch.cat([edge_index[1], node])
    return bag_of(row, column, torch.ones(len(row), device=row.device), nodes)


def _mean(node_pointer: Tensor) -> Bag:
    """Column, row pointer and value of the mean over each graph's nodes."""
    sizes = node_pointer.diff()
    share = torch.repeat_interleave(sizes.clamp(min=1).reciprocal(), sizes)
    return torch.arange(int(node_pointer[-1]), device=sizes.device), node_pointer, share
