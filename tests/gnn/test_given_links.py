"""Links of anybody's graph: held-out ones are no messages, pairs beside them are none, both repeat for a seed."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

from gnn.errors import DatasetError
from gnn.tasks import PARTS, LinkPrediction, link_task
from gnn.tasks.given_splits import SplitFunction
from gnn.tasks.link_splits import draw_non_links
from tests.gnn.given_graphs import pyg_of, some_graph


def keys(pairs: Tensor) -> set[tuple[int, int]]:
    return {(min(pair), max(pair)) for pair in pairs.T.tolist()}


def parts_of(task: LinkPrediction) -> dict[str, set[tuple[int, int]]]:
    return {part: keys(task.links(part).positive) for part in PARTS}


def at(data: Any, seed: int, split: SplitFunction | None = None, metric: str | None = None) -> LinkPrediction:  # noqa: ANN401
    task = link_task("links", data, split=split, metric=metric).at(seed)
    assert isinstance(task, LinkPrediction)
    return task


@given(nodes=st.integers(16, 80), graph=st.integers(0, 99), seed=st.integers(0, 9))
@settings(max_examples=10, deadline=None)
def test_every_link_is_in_one_part_and_messages_are_those_of_training(nodes: int, graph: int, seed: int) -> None:
    data = some_graph(nodes, graph, masks=False)
    data.edge_index[:, :3] = torch.tensor([[5, 5, 7], [5, 5, 7]])
    data.edge_index = torch.cat([data.edge_index, data.edge_index.flip(0)], dim=1)
    data.edge_weight, data.edge_attr = torch.arange(data.num_edges), None
    task = at(data, seed)
    parts, every = parts_of(task), {pair for pair in keys(data.edge_index) if pair[0] != pair[1]}
    assert sum(map(len, parts.values())) == len(every) == len(set.union(*parts.values())) == task.graph_edges
    assert [len(parts[part]) for part in ("validation", "test")] == [int(len(every) * share) for share in (0.05, 0.1)]
    pyg = pyg_of(task, "test")
    assert keys(pyg.edge_index) == keys(task.edge_index) == parts["train"]
    assert torch.equal(pyg.edge_index, data.edge_index[:, pyg.edge_weight])
    assert bool((pyg.edge_weight.diff() > 0).all())
    assert {(b, a) for a, b in pyg.edge_index.T.tolist()} == set(map(tuple, pyg.edge_index.T.tolist()))
    for part in PARTS:
        links, others = task.links(part), keys(task.links(part).negative)
        assert len(others) == links.negative.shape[1] == links.positive.shape[1]
        assert not others & (parts["train"] if part == "train" else every)
    assert task.sha256 == at(data, seed).sha256 != at(data, seed + 1).sha256


def test_a_function_of_the_seed_names_edges_in_either_direction() -> None:
    data = some_graph(masks=False)
    link = data.edge_index.amin(0) * 60 + data.edge_index.amax(0)
    first = data.edge_index[0] < data.edge_index[1]

    def split(seed: int) -> tuple[Tensor, Tensor, Tensor]:
        return link % 7 > 2, (link % 7 == 1) & first, ((link + seed) % 7 == 0) & ~first

    task = at(data, 0, split=split)
    joins = data.edge_index[0] != data.edge_index[1]
    assert parts_of(task)["train"] == keys(data.edge_index[:, joins & (link % 7 > 2)])
    assert parts_of(task)["validation"] == keys(data.edge_index[:, joins & (link % 7 == 1)])
    assert keys(pyg_of(task).edge_index) == parts_of(task)["train"]
    with pytest.raises(DatasetError, match=r"examples of links are in both the train and the test part"):
        link_task("links", data, split=split).at(1)


def test_what_names_held_out_edges_does_not_reach_the_model() -> None:
    hidden = torch.zeros(2, 4, dtype=torch.int64)
    data = some_graph(edge_label_index=hidden, edge_label=torch.ones(4), test_pos_edge_index=hidden)
    pyg = pyg_of(at(data, 0, metric="average_precision"), "validation")
    assert set(pyg.to_dict()) == {"x", "edge_index", "y", "edge_weight", "edge_attr"}
    assert len(pyg.edge_attr) == len(pyg.edge_weight) == pyg.num_edges < data.num_edges


@pytest.mark.parametrize("most_nodes", [0, 4096])
def test_pairs_without_an_edge_are_drawn_evenly_and_repeat(most_nodes: int) -> None:
    links = torch.tensor([[0, 0, 1, 2], [1, 2, 3, 4]])
    found = torch.zeros(6, 6)
    for seed in range(400):
        drawn = draw_non_links(links, 6, 4, torch.Generator().manual_seed(seed), most_nodes)
        assert torch.equal(drawn, draw_non_links(links, 6, 4, torch.Generator().manual_seed(seed), most_nodes))
        assert drawn.shape == (2, len(keys(drawn))) == (2, 4)
        found[drawn[0], drawn[1]] += 1
    free = torch.ones(6, 6).triu(1).bool().index_put((links[0], links[1]), torch.tensor(False))
    assert not found[~free].any()
    # 11 pairs are free, so each is expected 4 / 11 * 400 = 145 times, with a standard deviation of 10.
    assert (found[free] - 4 / 11 * 400).abs().max() < 45


def dense_graph() -> Data:
    return Data(x=torch.ones(5, 1), edge_index=torch.ones(5, 5).nonzero().T)


def tiny_graph() -> Data:
    return Data(x=torch.ones(9, 1), edge_index=to_undirected(torch.arange(8).unfold(0, 2, 1).T))


def directed_graph() -> Data:
    return Data(x=torch.ones(9, 1), edge_index=torch.tensor([[0, 1, 1], [1, 0, 2]]))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            directed_graph(),
            "the data of links is directed: 1 edges have no edge back, such as that between the nodes 1 and 2; add "
            "them with torch_geometric.utils.to_undirected",
        ),
        (
            dense_graph(),
            "the data of links has 10 links among 5 nodes, more than half of all pairs; too few pairs are left to tell "
            "them from",
        ),
        (tiny_graph(), "the validation part of links is empty: 7 links are too few for (0.85, 0.05, 0.1)"),
    ],
)
def test_a_graph_without_enough_links_is_refused(data: Any, message: str) -> None:  # noqa: ANN401
    with pytest.raises(DatasetError) as caught:
        link_task("links", data)
    assert str(caught.value) == message
