"""Cora-Link hides edges that clean messages never see, draws honest negatives, and scores by ranks."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gnn.artifacts import ArtifactStore
from gnn.errors import DatasetError
from gnn.layers import CsrMatrix
from gnn.tasks import DataSource, LinkPrediction, Links, cora_link, load_task
from gnn.tasks.cora import CORA
from gnn.tasks.link_prediction import best_threshold
from gnn.tasks.planted import PlantedCitationGraph, plant_citation_graph

COUNTS = {"train": 4488, "validation": 263, "test": 527}


def load(source: DataSource, store: ArtifactStore, protocol: str = "clean", seed: int = 0) -> LinkPrediction:
    task = load_task("cora-link", source, store, protocol, seed)
    assert isinstance(task, LinkPrediction)
    return task


@pytest.fixture(scope="module")
def planted(store: ArtifactStore) -> LinkPrediction:
    return load(DataSource("planted"), store)


@pytest.fixture(scope="module")
def paper(store: ArtifactStore) -> LinkPrediction:
    return load(DataSource("planted"), store, "paper")


@pytest.fixture(scope="module")
def cora(data_root: Path, store: ArtifactStore) -> LinkPrediction:
    return load(DataSource("root", data_root / CORA.folder), store)


@pytest.fixture(params=["planted", "cora"])
def task(request: pytest.FixtureRequest) -> LinkPrediction:
    return request.getfixturevalue(request.param)


def keys(pairs: Tensor, nodes: int) -> Tensor:
    return pairs.amin(0) * nodes + pairs.amax(0)


def all_positive(task: LinkPrediction) -> Tensor:
    return torch.cat([task.links(part).positive for part in COUNTS], dim=1)


def test_85_5_and_10_percent_of_the_edges_each_once(task: LinkPrediction) -> None:
    assert {part: task.links(part).positive.shape[1] for part in COUNTS} == COUNTS
    assert {part: task.links(part).negative.shape[1] for part in COUNTS} == COUNTS
    assert len(keys(all_positive(task), task.nodes).unique()) == task.graph_edges == 5278
    assert task.statistics == {"graphs": 1, "nodes": 2708, "edges": 5278, "features": 1433, "labels": 7}


def test_held_out_negatives_are_no_edge_and_no_loop(task: LinkPrediction) -> None:
    edges = keys(all_positive(task), task.nodes)
    held_out = torch.cat([task.validation.negative, task.test.negative], dim=1)
    assert (held_out[0] != held_out[1]).all()
    assert not torch.isin(keys(held_out, task.nodes), edges).any()
    assert len(keys(held_out, task.nodes).unique()) == 263 + 527


def test_training_negatives_know_nothing_of_held_out_edges(task: LinkPrediction) -> None:
    negative = task.train.negative
    assert (negative[0] != negative[1]).all()
    assert len(keys(negative, task.nodes).unique()) == 4488
    assert not torch.isin(keys(negative, task.nodes), keys(task.train.positive, task.nodes)).any()


def test_negatives_keep_that_in_a_graph_where_chance_would_not(
    monkeypatch: pytest.MonkeyPatch, store: ArtifactStore
) -> None:
    dense = plant_citation_graph(
        PlantedCitationGraph(20, 40, (10, 10), edge_homophily=0.5, features=9, words_per_node=2)
    )
    monkeypatch.setattr(cora_link, "load_cora", lambda *_: dense)
    hidden_edges_among_training_negatives = 0
    for seed in range(20):
        task = load(DataSource("planted"), store, seed=seed)
        edges, held_out = keys(all_positive(task), 20), torch.cat([task.validation.negative, task.test.negative], dim=1)
        assert not torch.isin(keys(held_out, 20), edges).any()
        negative = keys(task.train.negative, 20)
        assert not torch.isin(negative, keys(task.train.positive, 20)).any()
        hidden_edges_among_training_negatives += int(torch.isin(negative, edges).sum())
    assert hidden_edges_among_training_negatives > 0


def test_clean_messages_pass_over_training_edges_only(task: LinkPrediction) -> None:
    messages = keys(task.edge_index, task.nodes)
    assert torch.equal(messages.unique(), keys(task.train.positive, task.nodes).sort().values)
    for part in (task.validation, task.test):
        assert not torch.isin(keys(part.positive, task.nodes), messages).any()


def test_messages_of_the_paper_pass_over_held_out_edges_too(paper: LinkPrediction) -> None:
    assert torch.equal(
        keys(paper.edge_index, paper.nodes).unique(), keys(all_positive(paper), paper.nodes).sort().values
    )


@pytest.mark.parametrize("protocol", ["clean", "paper"])
def test_messages_go_both_ways(store: ArtifactStore, protocol: str) -> None:
    task = load(DataSource("planted"), store, protocol)
    directed = task.edge_index[0] * task.nodes + task.edge_index[1]
    assert torch.equal((task.edge_index[1] * task.nodes + task.edge_index[0]).sort().values, directed.sort().values)
    assert len(directed.unique()) == len(directed) == 2 * (4488 if protocol == "clean" else 5278)


def test_protocols_differ_in_the_messages_only(planted: LinkPrediction, paper: LinkPrediction) -> None:
    assert replace(paper, edge_index=planted.edge_index).sha256 == planted.sha256 != paper.sha256


def test_a_seed_draws_the_same_pairs_and_another_seed_others(planted: LinkPrediction, store: ArtifactStore) -> None:
    torch.manual_seed(5)
    assert load(DataSource("planted"), store).sha256 == planted.sha256
    other = load(DataSource("planted"), store, seed=1)
    assert other.sha256 != planted.sha256
    for part in COUNTS:
        assert not torch.equal(other.links(part).positive, planted.links(part).positive)
        assert not torch.equal(other.links(part).negative, planted.links(part).negative)


def test_the_words_of_a_paper_add_up_to_one(task: LinkPrediction) -> None:
    dense = task.features.to_dense()
    assert torch.allclose(dense.sum(1), torch.ones(task.nodes))
    for row in (0, 1000, 2707):
        assert len(dense[row][dense[row] > 0].unique()) == 1


def draw_small(seed: int, nodes: int, edges: int) -> LinkPrediction:
    """A graph of random training edges and nothing else."""
    generator = torch.Generator().manual_seed(seed)
    pairs = torch.triu_indices(nodes, nodes, offset=1)
    positive = pairs[:, torch.randperm(pairs.shape[1], generator=generator)[:edges]]
    # Half of the edges with the higher end first: an edge has no direction.
    positive[:, ::2] = positive[:, ::2].flip(0)
    links = Links(positive, pairs[:, :1])
    features = CsrMatrix.from_coordinates(torch.arange(nodes), torch.arange(nodes), torch.ones(nodes), (nodes, nodes))
    both = torch.cat([positive, positive.flip(0)], dim=1)
    return LinkPrediction("small", "planted", "clean", features, both, links, links, links, edges, 2)


@settings(deadline=None, max_examples=40, derandomize=True)
@given(seed=st.integers(0, 1000), nodes=st.integers(3, 9), share=st.floats(0.0, 0.5), count=st.integers(1, 60))
def test_drawn_negatives_are_never_a_training_edge_nor_a_loop(seed: int, nodes: int, share: float, count: int) -> None:
    task = draw_small(seed, nodes, int(share * nodes * (nodes - 1) / 2))
    torch.manual_seed(seed)
    drawn = task.draw_negatives(count)
    assert drawn.shape == (2, count)
    assert (drawn[0] != drawn[1]).all()
    assert drawn.min() >= 0
    assert drawn.max() < nodes
    assert not torch.isin(keys(drawn, nodes), keys(task.train.positive, nodes)).any()


def test_negatives_are_drawn_anew_from_all_free_pairs() -> None:
    task = draw_small(0, nodes=6, edges=7)
    torch.manual_seed(0)
    assert not torch.equal(task.draw_negatives(20), task.draw_negatives(20))
    assert len(keys(task.draw_negatives(2000), 6).unique()) == 15 - 7


def test_a_graph_of_mostly_edges_is_refused_with_a_sentence() -> None:
    assert draw_small(0, nodes=5, edges=5).draw_negatives(3).shape == (2, 3)
    sentence = (
        r"^small has 6 training edges on 5 nodes, more than half of all pairs; "
        r"negatives cannot be drawn from so dense a graph$"
    )
    with pytest.raises(DatasetError, match=sentence):
        draw_small(0, nodes=5, edges=6).draw_negatives(3)


def hand_made() -> LinkPrediction:
    """Two positive and three negative pairs in every part."""
    task = draw_small(0, nodes=6, edges=2)
    links = Links(task.train.positive, torch.tensor([[0, 1, 2], [5, 5, 5]]))
    return replace(task, train=links, validation=links, test=links)


def test_the_score_is_the_share_of_pairs_in_the_right_order() -> None:
    task = hand_made()
    assert task.score(torch.tensor([3.0, 0.5, 2.0, 0.0, -1.0]), "test") == pytest.approx(5 / 6)
    assert task.score(torch.tensor([3.0, 0.5, 0.5, 0.0, -1.0]), "test") == pytest.approx(5.5 / 6)
    assert task.score(torch.tensor([9.0, 8.0, 7.0, 7.0, 7.0]), "test") == 1.0
    assert task.score(torch.tensor([-9.0, -8.0, 7.0, 7.0, 7.0]), "validation") == 0.0


def test_other_scores_take_their_threshold_from_the_validation_pairs() -> None:
    task = hand_made()
    test = torch.tensor([3.0, 1.0, 2.0, 0.5, 0.2])
    validation = torch.tensor([0.5, 0.4, 0.0, -1.0, -1.0])
    scores = task.other_scores(test, validation)
    assert scores["accuracy_at_validation_threshold"] == pytest.approx(3 / 5)
    assert scores["accuracy_at_one_half"] == pytest.approx(2 / 5)
    assert scores["average_precision"] == pytest.approx((1 / 1 + 2 / 3) / 2)


def test_the_loss_is_the_cross_entropy_of_the_labels() -> None:
    logits = torch.tensor([2.0, -1.0, 0.0, 3.0, -2.0])
    right = torch.tensor([2.0, -1.0, 0.0, -3.0, 2.0])
    expected = (-right).exp().log1p().mean().item()
    assert hand_made().loss(logits, "test").item() == pytest.approx(expected, rel=1e-5)


LOGITS_AND_LABELS = st.lists(st.tuples(st.integers(-4, 4), st.booleans()), min_size=1, max_size=12)


@settings(deadline=None, max_examples=200, derandomize=True)
@given(pairs=LOGITS_AND_LABELS)
def test_the_best_threshold_is_that_of_trying_all(pairs: list[tuple[int, bool]]) -> None:
    logits = torch.tensor([float(logit) for logit, _ in pairs])
    labels = torch.tensor([float(label) for _, label in pairs])
    right = {
        threshold: int(((logits >= threshold).float() == labels).sum()) for threshold in sorted(set(logits.tolist()))
    }
    best = max(threshold for threshold, count in right.items() if count == max(right.values()))
    assert best_threshold(logits, labels) == best


@pytest.mark.parametrize("protocol", ["clean", "paper"])
def test_the_order_that_edges_come_in_is_not_the_one_they_are_held_in(
    protocol: str, planted: LinkPrediction, paper: LinkPrediction
) -> None:
    task = planted if protocol == "clean" else paper
    order = torch.randperm(task.edge_index.shape[1])
    assert torch.equal(replace(task, edge_index=task.edge_index[:, order]).edge_index, task.edge_index)
    loops = torch.arange(3).expand(2, -1)
    twice = torch.cat([task.edge_index, loops, task.edge_index[:, :2]], dim=1)
    order = torch.randperm(twice.shape[1])
    held = replace(task, edge_index=twice[:, order]).edge_index
    assert torch.equal(held, replace(task, edge_index=twice).edge_index)
    assert sorted(held.t().tolist()) == sorted(twice.t().tolist())


def test_every_part_counts_in_the_fingerprint(planted: LinkPrediction) -> None:
    def swapped(links: Links) -> Links:
        return Links(links.negative, links.positive)

    changed = [
        replace(planted, train=swapped(planted.train)),
        replace(planted, validation=swapped(planted.validation)),
        replace(planted, test=swapped(planted.test)),
        replace(planted, edge_index=planted.edge_index[:, 1:]),
        replace(planted, features=planted.features.with_value(planted.features.value * 2)),
    ]
    assert len({planted.sha256, *(task.sha256 for task in changed)}) == 6
    assert planted.to("cpu").sha256 == planted.sha256
