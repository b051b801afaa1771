"""The compared graph classifiers are PyG's convolutions, a mean and a linear layer; SuperGAT also learns edges."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.nn import GCNConv, SAGEConv, SuperGATConv

from gnn.models import build_model_for
from gnn.models.gcn_readout import GcnReadout
from gnn.models.readout_net import ReadoutNet, ReadoutNetSettings
from gnn.models.sage_readout import SageReadout
from gnn.models.supergat_readout import SuperGatReadout, SuperGatReadoutSettings, draw_non_edges
from gnn.tasks import GraphBatch, GraphClassification
from tests.gnn.random_graphs import batch_of, random_task

NAMES = ("gcn-readout", "sage-readout", "supergat-readout")
LAYERS = {"gcn-readout": GCNConv, "sage-readout": SAGEConv, "supergat-readout": SuperGATConv}


@pytest.fixture(scope="module")
def task() -> GraphClassification:
    return random_task()


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def model(name: str, task: GraphClassification) -> ReadoutNet:
    torch.manual_seed(0)
    model = build_model_for(name, task)
    assert isinstance(model, ReadoutNet)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.4)
    return model.eval()


def test_logits_are_the_layers_one_after_the_other(name: str, model: ReadoutNet) -> None:
    sizes = [5, 1, 7]
    batch = batch_of(sizes)
    hidden = batch.features.asinh()
    assert len(model.convolutions) == 2
    for convolution in model.convolutions:
        assert type(convolution) is LAYERS[name]
        hidden = functional.relu(convolution(hidden, batch.edge_index))
    expected = torch.stack([model.classifier(nodes.mean(0)) for nodes in hidden.split(sizes)])
    torch.testing.assert_close(model(batch), expected, rtol=1e-5, atol=1e-5)


def test_sizes_of_sage_and_gcn_count_one_and_two_weights_per_layer() -> None:
    settings = ReadoutNetSettings(4, 2)
    gcn, sage = (sum(p.numel() for p in net(settings).parameters()) for net in (GcnReadout, SageReadout))
    assert gcn == (4 * 64 + 64) + (64 * 64 + 64) + (2 * 64 + 2)
    assert sage == gcn + 4 * 64 + 64 * 64


def supergat(**others: float) -> SuperGatReadout:
    torch.manual_seed(0)
    settings = SuperGatReadoutSettings(4, 2, hidden_channels=8, **others)  # pyright: ignore
    return SuperGatReadout(settings)


def first_loss(model: ReadoutNet, task: GraphClassification) -> Tensor:
    torch.manual_seed(1)
    losses: Iterator[Tensor] = model.train().losses(task, model.prepare(task), None)
    return next(losses)


def test_loss_of_supergat_adds_its_weighted_attention_loss(task: GraphClassification) -> None:
    with_nothing, once, twice = (
        first_loss(supergat(attention_loss_weight=weight), task).item() for weight in (0.0, 1.0, 2.0)
    )
    assert with_nothing == pytest.approx(functional.cross_entropy(*logits_and_labels(supergat(), task)).item())
    assert once - with_nothing > 0.1
    assert twice - once == pytest.approx(once - with_nothing, rel=1e-4)


def logits_and_labels(model: ReadoutNet, task: GraphClassification) -> tuple[Tensor, Tensor]:
    batch = task.batch("train")
    return model.eval()(batch), batch.labels


def test_attention_of_supergat_is_trained_by_edges_alone(task: GraphClassification) -> None:
    model = supergat(attention_loss_weight=1.0)
    with torch.no_grad():
        model.classifier.weight.zero_()
    first_loss(model, task).backward()
    gradients = [convolution.lin.weight.grad for convolution in model.convolutions]  # pyright: ignore
    assert all(gradient.abs().max() > 1e-4 for gradient in gradients)  # pyright: ignore


def test_validation_loss_of_supergat_is_the_cross_entropy_alone(task: GraphClassification) -> None:
    model = supergat().eval()
    batch = task.batch("validation")
    expected = functional.cross_entropy(model(batch), batch.labels)
    torch.testing.assert_close(
        task.loss(model.outputs(task, model.prepare(task), "validation"), "validation"), expected
    )


def test_supergat_splits_hidden_channels_among_heads() -> None:
    model = SuperGatReadout(SuperGatReadoutSettings(4, 2, hidden_channels=12, heads=3))
    assert [(c.heads, c.out_channels) for c in model.convolutions] == [(3, 4), (3, 4)]  # pyright: ignore
    assert all(c.attention_type == "MX" for c in model.convolutions)  # pyright: ignore


@pytest.mark.parametrize("seed", range(5))
def test_non_edges_are_different_nodes_of_one_graph_without_an_edge(seed: int) -> None:
    torch.manual_seed(seed)
    batch = batch_of([6, 1, 9, 2], edges_per_node=1.5, seed=seed)
    pairs = draw_non_edges(batch, 400)
    assert (pairs[0] != pairs[1]).all()
    assert torch.equal(batch.graph_of_node[pairs[0]], batch.graph_of_node[pairs[1]])
    edges = set(map(tuple, batch.edge_index.t().tolist()))
    drawn = set(map(tuple, pairs.t().tolist()))
    assert not drawn & edges
    # So many draws miss no pair.
    free = {
        (i, j)
        for i, graph in enumerate(batch.graph_of_node.tolist())
        for j in range(*batch.node_pointer[graph : graph + 2].tolist())
        if i != j and (i, j) not in edges
    }
    assert len(drawn) > 0.9 * len(free)


def test_supergat_trains_on_graphs_that_have_all_edges_or_none() -> None:
    model = supergat().train()
    complete = torch.cartesian_prod(torch.arange(3), torch.arange(3)).t()
    pointer, labels = torch.tensor([0, 3, 4]), torch.tensor([0, 1])
    for edge_index in (complete, complete[:, :0]):
        assert model(GraphBatch(torch.randn(4, 4), edge_index, pointer, labels)).isfinite().all()
