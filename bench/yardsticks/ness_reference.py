"""The reference for NESS's runtime: how fast it was when this file was written.

It repeats what `gnn.runtime` makes of the model on purpose and depends on PyTorch, the graph and the weights alone (see
`bench.yardsticks.spline_reference`). After a change that makes the runtime faster, bring this file up to it.
"""

import torch
from torch import Tensor

from bench.yardsticks.reference_bag import Bag, bag, bag_of
from gnn.models.ness import Ness, undirected_edges
from gnn.runtime import Inference
from gnn.tasks import LinkPrediction


@torch.no_grad()
def reference_ness(model: Ness, task: LinkPrediction) -> Inference:
    """Dense NESS as two embedding bags and the inner products of the test pairs."""
    features = (task.features.column, task.features.row_pointer, task.features.value)
    adjacency, pairs = _mean_adjacency(model, task), task.test.pairs.clone()
    table, bias = model.lin.weight.t().contiguous(), model.lin.bias.clone()

    @torch.inference_mode()
    def infer() -> Tensor:
        embedding = bag(*adjacency, bag(*features, table)).add_(bias)
        first, second = (embedding.index_select(0, ends) for ends in pairs)
        return first.mul_(second).sum(dim=1)

    return infer


def _mean_adjacency(model: Ness, task: LinkPrediction) -> Bag:
    """Column, row pointer and value of the mean over subgraphs of D^-1/2 (A + I) D^-1/2, built once from dense ones."""
    edges, subgraphs, nodes = undirected_edges(task.edge_index, task.nodes), model.settings.subgraphs, task.nodes
    generator = torch.Generator().manual_seed(model.settings.partition_seed)
    part = torch.randperm(edges.shape[1], generator=generator).to(edges.device) % subgraphs
    mean = torch.zeros(nodes, nodes, device=edges.device)
    for number in range(subgraphs):
        adjacency = torch.eye(nodes, device=edges.device)
        source, target = edges[:, part == number]
        adjacency[source, target] = adjacency[target, source] = 1.0
        scale = adjacency.sum(dim=1).rsqrt()
        mean += scale[:, None] * adjacency * scale / subgraphs
    row, column = mean.nonzero(as_tuple=True)
    return bag_of(row, column, mean[row, column], nodes)
