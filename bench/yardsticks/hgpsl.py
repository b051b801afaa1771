"""The yardstick for HGP-SL: the same net as equations and official code read, with a matrix of all pairs of nodes."""

from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import torch
from scipy.sparse import coo_array
from torch import Tensor
from torch.nn import functional

from gnn.layers.feature_scaling import scale_features
from gnn.layers.hgpsl_convolution import HgpSlConvolution
from gnn.layers.hgpsl_pool import HgpSlPool
from gnn.models.hgpsl import HgpSlNet, readout
from gnn.runtime import Inference
from gnn.tasks import GraphBatch, GraphClassification


@dataclass(frozen=True, eq=False)
class EagerGraphs:
    """Nodes [nodes, channels], edges [2, edges] as (source, target) with a weight each, the graph of every node."""

    features: Tensor
    edge_index: Tensor
    weight: Tensor
    graph: Tensor
    graphs: int

    @property
    def node_pointer(self) -> Tensor:
        """Where the nodes of each graph start, [graphs + 1]."""
        counts = torch.bincount(self.graph, minlength=self.graphs)
        return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


class EagerHgpSlNet(HgpSlNet):
    """HGP-SL in plain eager PyTorch: a message per edge, and learned edges through a dense matrix of the whole batch.

    It is kinder than the official code in its sparsemax, which has no Python loop, and in its readout, which is ours.
    """

    def forward(self, batch: GraphBatch) -> Tensor:
        """Logits of the graphs of a batch."""
        ones = batch.features.new_ones(batch.edge_index.shape[1])
        features = scale_features(batch.features, self.settings.feature_scaling)
        graphs = EagerGraphs(features, batch.edge_index, ones, batch.graph_of_node, len(batch.labels))
        graphs = _pool(self.pool1, replace(graphs, features=functional.relu(self._first_convolution(graphs))))
        total = functional.relu(readout(graphs.features, graphs.node_pointer))
        graphs = _pool(self.pool2, replace(graphs, features=functional.relu(_convolve(self.conv2, graphs))))
        total = total + functional.relu(readout(graphs.features, graphs.node_pointer))
        hidden = functional.relu(_convolve(self.conv3, graphs))
        return self.classify(total + functional.relu(readout(hidden, graphs.node_pointer)))

    def _first_convolution(self, graphs: EagerGraphs) -> Tensor:
        nodes = torch.arange(len(graphs.features), device=graphs.graph.device)
        others = graphs.edge_index[:, graphs.edge_index[0] != graphs.edge_index[1]]
        source, target = torch.cat([others, nodes.expand(2, -1)], dim=1)
        scale = torch.bincount(target).rsqrt()
        weight = scale[source] * scale[target]
        return _propagate(self.conv1.lin(graphs.features), source, target, weight) + cast(Tensor, self.conv1.bias)


def eager_hgpsl(model: HgpSlNet, task: GraphClassification) -> Inference:
    """Inference of the eager net with the weights of `model`, for the test graphs as one batch."""
    eager = EagerHgpSlNet(model.settings)
    eager.load_state_dict(model.state_dict())
    eager.to(model.lin1.weight.device).eval()
    batch = task.batch("test")
    return torch.inference_mode()(lambda: eager(batch))


def _propagate(features: Tensor, source: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    return torch.zeros_like(features).index_add(0, target, weight[:, None] * features[source])


def _normalised_weight(graphs: EagerGraphs) -> Tensor:
    """Weights divided by the square roots of the degrees of both ends; degrees count outgoing weights."""
    source, target = graphs.edge_index
    degree = graphs.weight.new_zeros(len(graphs.features)).index_add(0, source, graphs.weight)
    scale = torch.where(degree == 0, 0, torch.where(degree == 0, 1, degree).rsqrt())
    return scale[source] * graphs.weight * scale[target]


def _convolve(layer: HgpSlConvolution, graphs: EagerGraphs) -> Tensor:
    source, target = graphs.edge_index
    return _propagate(graphs.features @ layer.weight, source, target, _normalised_weight(graphs)) + layer.bias


def _pool(pool: HgpSlPool, graphs: EagerGraphs) -> EagerGraphs:
    features, (source, target) = graphs.features, graphs.edge_index
    with torch.no_grad():
        from_neighbours = _propagate(features, source, target, _normalised_weight(graphs))
        chosen = _top_nodes((features - from_neighbours).abs().sum(1), graphs, pool.ratio)
    kept = _filter(graphs, graphs.edge_index, graphs.weight, chosen)
    if not pool.structure_learning:
        return kept
    if pool.sample_neighbors:
        edge_index, weight = _with_two_hops(
            *_with_two_hops(graphs.edge_index, graphs.weight, len(features)), len(features)
        )
        return _learn(pool, _filter(graphs, edge_index, weight, chosen))
    return _learn(pool, kept)


def _top_nodes(score: Tensor, graphs: EagerGraphs, ratio: float) -> Tensor:
    by_score = torch.sort(score, descending=True, stable=True).indices
    order = by_score[torch.sort(graphs.graph[by_score], stable=True).indices]
    pointer = graphs.node_pointer
    count = (ratio * pointer.diff().float()).ceil().long()
    rank = torch.arange(len(score), device=score.device) - pointer[graphs.graph]
    return order[rank < count[graphs.graph]]


def _filter(graphs: EagerGraphs, edge_index: Tensor, weight: Tensor, chosen: Tensor) -> EagerGraphs:
    number = chosen.new_full((len(graphs.features),), -1)
    number[chosen] = torch.arange(len(chosen), device=chosen.device)
    moved = number[edge_index]
    kept = (moved >= 0).all(dim=0)
    return EagerGraphs(graphs.features[chosen], moved[:, kept], weight[kept], graphs.graph[chosen], graphs.graphs)


def _with_two_hops(edge_index: Tensor, weight: Tensor, nodes: int) -> tuple[Tensor, Tensor]:
    """The edges and, with weight 0, those that two of them make; equal edges are added up."""
    source, target = edge_index.cpu().numpy()
    edges = coo_array((np.ones(len(source), dtype=np.float32), (source, target)), shape=(nodes, nodes)).tocsr()
    far = torch.from_numpy(np.stack((edges @ edges).nonzero())).to(edge_index)
    return _add_up(torch.cat([edge_index, far], dim=1), torch.cat([weight, weight.new_zeros(far.shape[1])]), nodes)


def _add_up(edge_index: Tensor, weight: Tensor, nodes: int) -> tuple[Tensor, Tensor]:
    """Every edge once, sorted by (source, target)."""
    pair, position = torch.unique(edge_index[0] * nodes + edge_index[1], return_inverse=True)
    return torch.stack([pair // nodes, pair % nodes]), weight.new_zeros(len(pair)).index_add(0, position, weight)


def _learn(pool: HgpSlPool, graphs: EagerGraphs) -> EagerGraphs:
    """New edges by attention, collected in a matrix of all pairs of nodes of the batch."""
    nodes = len(graphs.features)
    dense = graphs.weight.new_zeros(nodes, nodes)
    (source, target), known = _candidates(pool, graphs)
    pairs = torch.cat([graphs.features[source], graphs.features[target]], dim=1)
    score = functional.leaky_relu((pairs * pool.att).sum(dim=1), pool.negative_slope) + pool.structure_weight * known
    if pool.sample_neighbors:
        dense = dense.index_put((source, target), score)
        source, target = dense.nonzero(as_tuple=True)
        score = dense[source, target]
    weight = (_sparsemax if pool.sparse_attention else _softmax)(score, source, nodes)
    dense = dense.detach().index_put((source, target), weight)
    source, target = dense.nonzero(as_tuple=True)
    return replace(graphs, edge_index=torch.stack([source, target]), weight=dense[source, target])


def _candidates(pool: HgpSlPool, graphs: EagerGraphs) -> tuple[Tensor, Tensor]:
    """Pairs that may become edges [2, pairs], and the weight that each has now [pairs]."""
    nodes = len(graphs.features)
    if pool.sample_neighbors:
        loops = torch.arange(nodes, device=graphs.graph.device).expand(2, -1)
        weight = torch.cat([graphs.weight, graphs.weight.new_zeros(nodes)])
        return _add_up(torch.cat([graphs.edge_index, loops], dim=1), weight, nodes)
    same_graph = (graphs.graph[:, None] == graphs.graph).nonzero().t()
    known = graphs.weight.new_zeros(nodes, nodes)
    known = known.index_put(tuple(graphs.edge_index), graphs.weight, accumulate=True)
    return same_graph, known[tuple(same_graph)]


def _sparsemax(score: Tensor, row: Tensor, rows: int) -> Tensor:
    """Sparsemax of every row, scores padded to the longest row and sorted."""
    if not len(score):
        return score
    count = torch.bincount(row, minlength=rows)
    rank = torch.arange(len(row), device=row.device) - (count.cumsum(0) - count)[row]
    padded = score.new_full((rows, int(count.max())), -torch.inf).index_put((row, rank), score)
    padded = padded.sort(dim=1, descending=True).values
    highest = padded[:, 0].detach()
    centred = torch.where(padded.isinf(), -2, padded - highest[:, None])
    size = torch.arange(1, padded.shape[1] + 1, device=row.device)
    in_support = 1 + size * centred > centred.cumsum(1)
    threshold = (torch.where(in_support, centred, 0).sum(1) - 1) / in_support.sum(1)
    return functional.relu(score - highest[row] - threshold[row])


def _softmax(score: Tensor, row: Tensor, rows: int) -> Tensor:
    highest = score.new_full((rows,), -torch.inf).scatter_reduce(0, row, score.detach(), "amax")
    exponential = (score - highest[row]).exp()
    return exponential / score.new_zeros(rows).index_add(0, row, exponential)[row]
