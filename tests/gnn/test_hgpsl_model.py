"""HGP-SL has the size of the official net, equals its dense form, and cares for nobody's number."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from bench.yardsticks.hgpsl import EagerHgpSlNet
from gnn.determinism import deterministic
from gnn.layers.hgpsl_pool import information_score
from gnn.models.hgpsl import HgpSlNet, HgpSlSettings, readout
from gnn.tasks import GraphBatch, GraphCollection
from gnn.testing import check_model, report
from gnn.testing.graph_checks import GRAPH_CHECKS

SIZES = [14, 1, 18, 2, 16, 20]
SWITCHES: list[dict[str, Any]] = [
    {},
    {"sample_neighbors": False},
    {"sparse_attention": False},
    {"sample_neighbors": False, "sparse_attention": False, "pooling_ratio": 0.7},
    {"structure_learning": False, "pooling_ratio": 0.8},
    {"pooling_ratio": 0.8, "structure_weight": 0.3, "feature_scaling": "asinh"},
]


def random_collection(seed: int, sizes: list[int] | None = None, edges_per_node: float = 1.2) -> GraphCollection:
    """Graphs of undirected random edges, isolated nodes among them."""
    sizes = SIZES if sizes is None else sizes
    generator = torch.Generator().manual_seed(seed)
    edges, first = [torch.empty(2, 0, dtype=torch.int64)], 0
    for size in sizes:
        pair = first + torch.randint(size, (2, int(edges_per_node * size)), generator=generator)
        pair = pair[:, pair[0] != pair[1]]
        edges.append(torch.cat([pair, pair.flip(0)], dim=1).unique(dim=1))
        first += size
    features = torch.randn(first, 4, generator=generator)
    labels = torch.randint(2, (len(sizes),), generator=generator)
    return GraphCollection.from_edges(features, torch.cat(edges, dim=1), torch.tensor([0, *sizes]).cumsum(0), labels)


def whole(collection: GraphCollection) -> GraphBatch:
    return collection.select(torch.arange(len(collection.labels)))


def new_model(seed: int = 0, **switches: Any) -> HgpSlNet:  # noqa: ANN401
    with deterministic(seed):
        return HgpSlNet(HgpSlSettings(in_channels=4, out_channels=2, hidden_channels=12, **switches))


def smallest_gap(model: HgpSlNet, batch: GraphBatch) -> float:
    """How far apart the last score that stays and the first that goes are, at least, in any graph and pooling.

    Scores that are equal but for rounding may be told apart in either way, and nothing can be compared then.
    """
    gaps = []

    def look(module: torch.nn.Module, inputs: tuple[Any, ...]) -> None:  # noqa: ARG001
        features, adjacency, pointer = inputs
        for score in information_score(features, adjacency).split(pointer.diff().tolist()):
            count = int(torch.tensor(model.pool1.ratio * len(score)).ceil())
            ordered = score.sort(descending=True).values
            gaps.extend([float(ordered[count - 1] - ordered[count])] if count < len(score) else [])

    hooks = [pool.register_forward_pre_hook(look) for pool in (model.pool1, model.pool2)]
    with torch.no_grad():
        model(batch)
    for hook in hooks:
        hook.remove()
    return min(gaps)


def gradients(model: HgpSlNet, batch: GraphBatch) -> dict[str, Tensor]:
    model.zero_grad()
    functional.cross_entropy(model(batch), batch.labels).backward()
    return {name: value.grad for name, value in model.named_parameters() if value.grad is not None}


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * max(1e-3, float(expected.detach().abs().max())))


@pytest.mark.parametrize("switches", SWITCHES, ids=str)
def test_the_dense_form_gives_the_same_logits_and_gradients(switches: dict[str, Any]) -> None:
    model = new_model(**switches)
    eager = EagerHgpSlNet(model.settings)
    eager.load_state_dict(model.state_dict())
    batches = [whole(random_collection(seed)) for seed in range(12)]
    clear = [batch for batch in batches if smallest_gap(model, batch) > 1e-4]
    assert len(clear) >= 2
    for batch in clear[:3]:
        close(model(batch), eager(batch))
        found, expected = gradients(model, batch), gradients(eager, batch)
        assert found.keys() == expected.keys()
        for name, gradient in expected.items():
            close(found[name], gradient)


def test_parameters_are_those_of_the_official_net() -> None:
    model = HgpSlNet(HgpSlSettings(in_channels=4, out_channels=2))
    assert sum(parameter.numel() for parameter in model.parameters()) == 75_458
    assert {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()} == {
        "conv1.bias": (128,),
        "conv1.lin.weight": (128, 4),
        "conv2.weight": (128, 128),
        "conv2.bias": (128,),
        "conv3.weight": (128, 128),
        "conv3.bias": (128,),
        "pool1.att": (1, 256),
        "pool2.att": (1, 256),
        "lin1.weight": (128, 256),
        "lin1.bias": (128,),
        "lin2.weight": (64, 128),
        "lin2.bias": (64,),
        "lin3.weight": (2, 64),
        "lin3.bias": (2,),
    }


@pytest.mark.parametrize("switches", SWITCHES, ids=str)
def test_every_variant_keeps_what_is_owed_to_graphs(switches: dict[str, Any]) -> None:
    model = new_model(**switches)
    batch = next(b for b in map(whole, map(random_collection, range(12))) if smallest_gap(model, b) > 1e-4)
    found = report(check for check in check_model(model, batch) if check.name in GRAPH_CHECKS)
    # Without it nothing is asked of the attention.
    learns = switches.get("structure_learning", True)
    assert (set(found.failed), found.not_applicable) == (set() if learns else {"gradients"}, {}), f"\n{found}"


def test_duplicate_edges_and_self_loops_are_fine() -> None:
    collection = random_collection(2)
    loops = torch.arange(5).expand(2, -1)
    edge_index = torch.cat([collection.edge_index, collection.edge_index[:, ::3], loops, loops], dim=1)
    messy = GraphCollection.from_edges(collection.features, edge_index, collection.node_pointer, collection.labels)
    model = new_model()
    eager = EagerHgpSlNet(model.settings)
    eager.load_state_dict(model.state_dict())
    assert smallest_gap(model, whole(messy)) > 1e-4
    torch.testing.assert_close(model(whole(messy)), eager(whole(messy)))


def test_readout_is_the_largest_and_the_mean_of_every_graph() -> None:
    features = torch.randn(7, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(5)).requires_grad_()
    found = readout(features, torch.tensor([0, 4, 5, 7]))
    expected = torch.stack([torch.cat([part.amax(0), part.mean(0)]) for part in features.split([4, 1, 2])])
    torch.testing.assert_close(found, expected)
    weight = torch.arange(18.0, dtype=torch.float64).view(3, 6)
    torch.testing.assert_close(
        torch.autograd.grad((found * weight).sum(), features)[0],
        torch.autograd.grad((expected * weight).sum(), features)[0],
    )
