"""The reference for HGP-SL's inference: how fast it was when this file was written.

It repeats the forward pass of `gnn.models.hgpsl` on purpose and depends on PyTorch, SciPy, the graphs and the weights
alone (see `bench.yardsticks.spline_reference`). After a change that makes it faster, bring this file up to it. It knows
the settings of the paper only: sampled neighbours, sparse attention, learned structure.
"""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_array, eye_array
from torch import Tensor
from torch.nn import functional

from bench.yardsticks.reference_bag import Bag, bag, bag_of
from gnn.models.hgpsl import HgpSlNet
from gnn.runtime import Inference
from gnn.tasks import GraphBatch, GraphClassification

NEGATIVE_SLOPE = 0.2


@dataclass(frozen=True, eq=False)
class _Graphs:
    """Features [nodes, channels], adjacency with targets as rows, and node pointer [graphs + 1]."""

    features: Tensor
    adjacency: Bag
    pointer: Tensor


def reference_hgpsl(model: HgpSlNet, task: GraphClassification) -> Inference:
    """Dense HGP-SL on the test graphs as one batch."""
    batch = task.batch("test")
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    ratio, asinh = model.settings.pooling_ratio, model.settings.feature_scaling == "asinh"

    @torch.inference_mode()
    def infer() -> Tensor:
        features = torch.asinh(batch.features) if asinh else batch.features
        neighbours = _neighbour_mean(batch, features)
        hidden = functional.relu(functional.linear(neighbours, state["conv1.lin.weight"]) + state["conv1.bias"])
        first = _pool(_Graphs(hidden, _adjacency(batch), batch.node_pointer), state["pool1.att"], ratio)
        hidden = _convolve(first, state, "conv2")
        second = _pool(_Graphs(hidden, first.adjacency, first.pointer), state["pool2.att"], ratio)
        hidden = _convolve(second, state, "conv3")
        levels = (_readout(first.features, first.pointer), _readout(second.features, second.pointer))
        summary = levels[0] + levels[1] + _readout(hidden, second.pointer)
        for layer in ("lin1", "lin2"):
            summary = functional.relu(functional.linear(summary, state[f"{layer}.weight"], state[f"{layer}.bias"]))
        return functional.linear(summary, state["lin3.weight"], state["lin3.bias"])

    return infer


def _owner(pointer: Tensor) -> Tensor:
    sizes = pointer.diff()
    return torch.repeat_interleave(torch.arange(len(sizes), device=sizes.device), sizes)


def _adjacency(batch: GraphBatch) -> Bag:
    source, target = batch.edge_index
    pointer = functional.pad(torch.bincount(target, minlength=len(batch.features)).cumsum(0), (1, 0))
    return source, pointer, batch.features.new_ones(len(source))


def _neighbour_mean(batch: GraphBatch, features: Tensor) -> Tensor:
    """D^-1/2 (A + I) D^-1/2 x."""
    others = batch.edge_index[:, batch.edge_index[0] != batch.edge_index[1]]
    nodes = len(features)
    source, target = torch.cat([others, torch.arange(nodes, device=others.device).expand(2, -1)], dim=1)
    scale = torch.bincount(target, minlength=nodes).rsqrt()[:, None]
    ones = torch.ones(len(source), device=source.device)
    return scale * bag(*bag_of(target, source, ones, nodes), scale * features)


def _normalised(adjacency: Bag) -> Bag:
    """D^-1/2 A D^-1/2 with D the weights that leave a node."""
    column, pointer, value = adjacency
    degree = value.new_zeros(len(pointer) - 1).index_add_(0, column, value)
    scale = torch.where(degree == 0, 0, degree.rsqrt())
    return column, pointer, value * scale[column] * scale[_owner(pointer)]


def _convolve(graphs: _Graphs, state: dict[str, Tensor], layer: str) -> Tensor:
    projected = graphs.features @ state[f"{layer}.weight"]
    return functional.relu(bag(*_normalised(graphs.adjacency), projected) + state[f"{layer}.bias"])


def _readout(features: Tensor, pointer: Tensor) -> Tensor:
    node = torch.arange(len(features), device=features.device)
    largest = functional.embedding_bag(node, features, pointer, mode="max", include_last_offset=True)
    total = features.new_zeros(len(pointer) - 1, features.shape[1]).index_add(0, _owner(pointer), features)
    return torch.cat([largest, total / pointer.diff().clamp(min=1)[:, None]], dim=1)


def _pool(graphs: _Graphs, attention: Tensor, ratio: float) -> _Graphs:
    column, pointer, value = graphs.adjacency
    score = (graphs.features - bag(*_normalised(graphs.adjacency), graphs.features)).abs_().sum(1)
    chosen, chosen_pointer = _best(score, graphs.pointer, ratio)
    kept = graphs.features.index_select(0, chosen)
    number = chosen.new_full((len(pointer) - 1,), -1)
    number[chosen] = torch.arange(len(chosen), device=chosen.device)
    target, source = number[_owner(pointer)], number[column]
    edge = ((target >= 0) & (source >= 0)).nonzero()[:, 0]
    start, end = _four_hops(column, pointer, chosen)
    position = torch.searchsorted(start * len(chosen) + end, (source * len(chosen) + target)[edge])
    halves = (kept @ attention.view(2, -1).t()).unbind(1)
    attended = functional.leaky_relu(halves[0][start] + halves[1][end], NEGATIVE_SLOPE)
    attended.index_add_(0, position, value[edge])
    linked = (attended != 0).nonzero()[:, 0]
    start, end, weight = _sparsemax(attended[linked], start[linked], end[linked], len(chosen))
    return _Graphs(kept, bag_of(end, start, weight, len(chosen)), chosen_pointer)


def _best(score: Tensor, pointer: Tensor, ratio: float) -> tuple[Tensor, Tensor]:
    """The ceil(ratio * nodes) nodes of each graph with the highest scores, and their pointer."""
    graph, sizes = _owner(pointer), pointer.diff()
    order = torch.argsort((graph << 32) - score.view(torch.int32).to(torch.int64), stable=True)
    count = (ratio * sizes.float()).ceil().to(sizes.dtype)
    rank = torch.arange(len(score), device=score.device) - pointer[graph]
    return order[rank < count[graph]], functional.pad(count.cumsum(0), (1, 0))


def _four_hops(column: Tensor, pointer: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
    """Pairs of chosen nodes joined by a walk of at most four edges, sorted."""
    indices, starts = column.to("cpu", torch.int32).numpy(), pointer.to("cpu", torch.int32).numpy()
    nodes, ends = len(pointer) - 1, chosen.cpu().numpy()
    edges = csr_array((np.ones(len(indices), dtype=bool), indices, starts), shape=(nodes, nodes))
    step = (edges + eye_array(nodes, dtype=bool, format="csr")).tocsr()
    walks = ((step[ends] @ step) @ (step @ step[:, ends])).T.tocsr()
    found = (torch.from_numpy(part).to(column.device, torch.int64) for part in (walks.indptr, walks.indices))
    start_pointer, end = found
    return _owner(start_pointer), end


def _sparsemax(score: Tensor, start: Tensor, end: Tensor, nodes: int) -> tuple[Tensor, Tensor, Tensor]:
    """Start, end and weight of the pairs on the support of each start's sparsemax."""
    largest = score.new_zeros(nodes).scatter_reduce(0, start, score, "amax", include_self=False)
    score = score - largest[start]
    left = (score > -1).nonzero()[:, 0]
    while True:
        value, owner = score[left], start[left]
        count = value.new_zeros(nodes).index_add(0, owner, torch.ones_like(value))
        threshold = (value.new_zeros(nodes).index_add(0, owner, value) - 1) / count
        weight = value - threshold[owner]
        if bool((weight > 0).all()):
            return owner, end[left], weight
        left = left[weight > 0]
