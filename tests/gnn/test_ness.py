"""NESS sees static subgraphs one at a time, is asked for their mean; see also test_citation_models."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from gnn.models import MODELS
from gnn.models.ness import Ness, NessSettings, SubgraphAdjacency, contrastive_loss, undirected_edges
from gnn.tasks import LinkPrediction
from tests.gnn.citation_checks import NO_EDGES, link_task, new_model, of_all

VARIANTS = [{}, {"subgraphs": 1}, {"subgraphs": 3}, {"partition_seed": 5}]


@pytest.fixture(scope="module")
def task() -> LinkPrediction:
    return link_task()


def new_ness(task: LinkPrediction, **change: Any) -> Ness:  # noqa: ANN401
    """A model whose bias matters, with other settings than the default ones."""
    model = new_model("ness", task)
    assert isinstance(model, Ness)
    changed = Ness(replace(model.settings, **change))
    changed.load_state_dict(model.state_dict())
    return changed.eval()


def parts_of(model: Ness, task: LinkPrediction) -> list[Tensor]:
    """The edges of every subgraph, read off the stacked adjacency, [2, edges] with low before high."""
    adjacency = model.prepare(task).adjacency.to_dense().view(task.nodes, -1, task.nodes)
    return [adjacency[:, part].triu(1).nonzero().t() for part in range(adjacency.shape[1])]


def normalised(edges: Tensor, nodes: int) -> Tensor:
    """D^-1/2 (A + I) D^-1/2 of undirected edges."""
    adjacency = torch.eye(nodes)
    for low, high in edges.t().tolist():
        adjacency[low, high] = adjacency[high, low] = 1
    scale = adjacency.sum(1).rsqrt()
    return scale[:, None] * adjacency * scale[None]


def encode(model: Ness, task: LinkPrediction, edges: Tensor) -> Tensor:
    """One subgraph's embedding as the equations read."""
    projected = task.features.to_dense() @ model.lin.weight.t()
    return normalised(edges, task.nodes) @ projected + model.lin.bias


def keys(edges: Tensor) -> list[int]:
    return sorted((edges.amin(0) * 1000 + edges.amax(0)).tolist())


@pytest.mark.parametrize("subgraphs", [1, 2, 3, 7])
def test_every_edge_is_in_one_subgraph_and_all_are_of_one_size(task: LinkPrediction, subgraphs: int) -> None:
    parts = parts_of(new_ness(task, subgraphs=subgraphs), task)
    assert len(parts) == subgraphs
    assert keys(torch.cat(parts, dim=1)) == keys(task.train.positive)
    sizes = [part.shape[1] for part in parts]
    assert max(sizes) - min(sizes) <= 1


def test_the_partition_belongs_to_the_settings(task: LinkPrediction) -> None:
    def first_part(seed: int, caller_seed: int) -> list[int]:
        torch.manual_seed(caller_seed)
        return keys(parts_of(new_ness(task, partition_seed=seed), task)[0])

    assert first_part(0, 1) == first_part(0, 2)
    assert first_part(0, 1) != first_part(1, 1)


def test_all_edges_that_messages_may_pass_over_are_split(task: LinkPrediction) -> None:
    everything = torch.cat([task.train.positive, task.validation.positive, task.test.positive], dim=1)
    leaking = link_task(torch.cat([everything, everything.flip(0)], dim=1))
    assert keys(torch.cat(parts_of(new_ness(leaking), leaking), dim=1)) == keys(everything)


@pytest.mark.parametrize("change", VARIANTS)
def test_each_embedding_is_the_equation_and_the_joint_one_their_mean(
    task: LinkPrediction, change: dict[str, Any]
) -> None:
    model = new_ness(task, **change)
    expected = [encode(model, task, part) for part in parts_of(model, task)]
    inputs = model.prepare(task)
    torch.testing.assert_close(model.embed_subgraphs(inputs), torch.stack(expected, dim=1), rtol=0, atol=1e-5)
    torch.testing.assert_close(model(inputs), torch.stack(expected).mean(dim=0), rtol=0, atol=1e-5)


def test_the_mean_adjacency_has_one_entry_for_each_edge_and_node(task: LinkPrediction) -> None:
    inputs = new_ness(task, subgraphs=3).prepare(task)
    assert len(inputs.mean_adjacency.value) == task.edge_index.shape[1] + task.nodes


@pytest.mark.parametrize("change", VARIANTS)
def test_the_loss_reconstructs_the_whole_training_graph_from_each_subgraph(
    task: LinkPrediction, change: dict[str, Any]
) -> None:
    model = new_ness(task, **change, edge_dropout=0.0).train()
    torch.manual_seed(3)
    (loss,) = model.losses(task, model.prepare(task), None)
    torch.manual_seed(3)
    pairs = torch.cat([task.train.positive, task.draw_negatives(80)], dim=1)
    labels = torch.cat([torch.ones(80), torch.zeros(80)])
    expected = []
    for part in parts_of(model, task):
        z = encode(model, task, part)
        expected.append(functional.binary_cross_entropy_with_logits((z[pairs[0]] * z[pairs[1]]).sum(1), labels))
    torch.testing.assert_close(loss, torch.stack(expected).mean())
    loss.backward()
    assert model.lin.weight.grad is not None
    expected_gradient = torch.autograd.grad(torch.stack(expected).mean(), model.lin.weight)[0]
    torch.testing.assert_close(model.lin.weight.grad, expected_gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_dropped_edges_leave_their_nodes_degrees_too(task: LinkPrediction, share: float) -> None:
    edges = undirected_edges(task.edge_index, task.nodes)
    part = torch.arange(edges.shape[1]) % 2
    kept = torch.rand(edges.shape[1], generator=torch.Generator().manual_seed(0)) >= share
    stacked = SubgraphAdjacency.of(edges, part, task.nodes, 2).normalised(kept.float())
    for number in (0, 1):
        expected = normalised(edges[:, kept & (part == number)], task.nodes)
        torch.testing.assert_close(stacked.to_dense().view(task.nodes, 2, task.nodes)[:, number], expected)


def test_edges_are_dropped_in_training_only(task: LinkPrediction) -> None:
    model = new_ness(task, edge_dropout=0.5)
    inputs = model.prepare(task)
    torch.manual_seed(0)
    assert not torch.equal(model.train().embed_subgraphs(inputs), model.embed_subgraphs(inputs))
    assert torch.equal(model.eval().embed_subgraphs(inputs), model.embed_subgraphs(inputs))


def test_a_large_share_of_dropped_edges_leaves_almost_none(task: LinkPrediction) -> None:
    torch.manual_seed(0)
    distances = []
    for share in (0.05, 0.95):
        model = new_ness(task, edge_dropout=share).train()
        dropped = model.embed_subgraphs(model.prepare(task))
        of_no_edges = model.embed_subgraphs(model.prepare(link_task(NO_EDGES)))
        distances.append(float((dropped - of_no_edges).detach().norm()))
    assert distances[1] < distances[0] / 2


def test_undirected_edges_are_in_the_order_of_first_mention() -> None:
    edge_index = torch.tensor([[5, 2, 4, 2, 3, 4, 0], [2, 5, 4, 0, 2, 4, 2]])
    assert torch.equal(undirected_edges(edge_index, 6), torch.tensor([[2, 0, 2], [5, 2, 3]]))
    assert torch.equal(undirected_edges(NO_EDGES, 6), NO_EDGES)


def test_the_contrastive_loss_is_the_cross_entropy_of_finding_the_same_node() -> None:
    embedding = torch.randn(4, 3, 5, generator=torch.Generator().manual_seed(0))
    expected = []
    for first in range(3):
        for second in set(range(3)) - {first}:
            for node in range(4):
                similarity = torch.cosine_similarity(embedding[node, first][None], embedding[:, second], dim=1)
                expected.append(-torch.log_softmax(similarity / 0.2, dim=0)[node])
    torch.testing.assert_close(contrastive_loss(embedding, 0.2), torch.stack(expected).mean())
    assert contrastive_loss(embedding[:, :1], 0.2) == 0


def test_the_contrastive_loss_is_added_with_its_weight(task: LinkPrediction) -> None:
    def loss_with(weight: float) -> Tensor:
        model = new_ness(task, contrastive_weight=weight, edge_dropout=0.0).train()
        torch.manual_seed(0)
        (loss,) = model.losses(task, model.prepare(task), None)
        return loss.detach()

    of_pairs = contrastive_loss(new_ness(task).embed_subgraphs(new_ness(task).prepare(task)), 0.1).detach()
    torch.testing.assert_close(loss_with(0.5), loss_with(0.0) + 0.5 * of_pairs)


def test_equal_edges_and_self_loops_change_nothing(task: LinkPrediction) -> None:
    loops = torch.arange(9).expand(2, -1)
    messages = torch.cat([task.edge_index, task.edge_index[:, 5:90], loops], dim=1)
    model = new_ness(task)
    assert torch.equal(of_all(model, link_task(messages)), of_all(model, task))


def test_without_edges_a_node_keeps_its_own_projection(task: LinkPrediction) -> None:
    model = new_ness(task)
    torch.testing.assert_close(of_all(model, link_task(NO_EDGES)), encode(model, task, NO_EDGES), rtol=0, atol=1e-5)


def test_it_is_a_net_of_static_subgraphs() -> None:
    assert NessSettings(in_channels=3).subgraphs >= 2
    assert MODELS["ness"].task_kinds == ("link-prediction",)
