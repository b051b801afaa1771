"""The reference for SplineNet's runtime: how fast it was when this file was written.

It repeats what `gnn.runtime` makes of the model on purpose and depends on PyTorch, the graph and the weights alone, so
that the ratio of the two is 1 whatever the machine, and falls when a change makes the runtime slower. After a change
that makes the runtime faster, bring this file up to it.
"""

import torch
from torch import Tensor
from torch.nn import functional

from bench.yardsticks.reference_bag import Bag, bag, bag_of
from gnn.models.spline import SplineNet
from gnn.runtime import Inference
from gnn.tasks import NodeClassification


@torch.no_grad()
def reference_spline(model: SplineNet, task: NodeClassification) -> Inference:
    """Dense SplineNet as one embedding bag per sparse product."""
    graph = task.graph
    features = (graph.features.column, graph.features.row_pointer, graph.features.value)
    operator = _operator(graph.edge_index, graph.features.shape[0])
    weights = [_side_by_side(model.state_dict(), layer) for layer in ("conv1", "conv2")]
    biases = [model.state_dict()[f"{layer}.bias"].clone() for layer in ("conv1", "conv2")]

    @torch.inference_mode()
    def infer() -> Tensor:
        projected = bag(*features, weights[0]).view(-1, len(biases[0]))
        hidden = functional.elu_(bag(*operator, projected).add_(biases[0]))
        return bag(*operator, (hidden @ weights[1]).view(-1, len(biases[1]))).add_(biases[1])

    return infer


def _operator(edge_index: Tensor, nodes: int) -> Bag:
    """Column, row pointer and value of the mean over in-edges, interpolated between two kernel points, and root."""
    source, target = edge_index
    node, in_degree = torch.arange(nodes, device=target.device), torch.bincount(target, minlength=nodes)
    position = in_degree[target] / in_degree.max()
    row = torch.cat([target, target, node])
    column = torch.cat([3 * source, 3 * source + 1, 3 * node + 2])
    share = torch.stack([1 - position, position]) / in_degree[target]
    value = torch.cat([share[0], share[1], torch.ones_like(node, dtype=share.dtype)])
    return bag_of(row, column, value, nodes)


def _side_by_side(state: dict[str, Tensor], layer: str) -> Tensor:
    return torch.cat([*state[f"{layer}.weight"], state[f"{layer}.lin.weight"].t()], dim=1)
