"""A batch whose matrices are parts of those of all graphs is, bit for bit, the batch that is made alone."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from gnn.layers import CsrMatrix
from gnn.models import build_model_for
from gnn.tasks import GraphCollection
from gnn.training import fit
from gnn.training_settings import TrainingSettings
from tests.gnn.random_graphs import random_collection, random_task

SIZES = [5, 0, 1, 8, 3, 1, 0, 6]


def both_ways(collection: GraphCollection) -> GraphCollection:
    """The collection with every edge in both directions, as molecules have them."""
    edges = torch.cat([collection.edge_index, collection.edge_index.flip(0)], dim=1)
    return GraphCollection.from_edges(collection.features, edges, collection.node_pointer, collection.labels)


def one_way(collection: GraphCollection) -> GraphCollection:
    return collection


def simple(collection: GraphCollection) -> GraphCollection:
    """The collection with each edge once in both directions and none from a node to itself."""
    edges = both_ways(collection).edge_index.unique(dim=1)
    edges = edges[:, edges[0] != edges[1]]
    return GraphCollection.from_edges(collection.features, edges, collection.node_pointer, collection.labels)


def tensors_of(matrix: CsrMatrix) -> list[Tensor]:
    return [matrix.row_pointer, matrix.column, matrix.value, *matrix.transposition, torch.tensor(matrix.shape)]


@pytest.mark.parametrize("kernels", ["fastest", "torch"])
@pytest.mark.parametrize("edges", [one_way, both_ways], ids=["directed", "undirected"])
@pytest.mark.parametrize("density", [0.0, 0.7, 3.0])
@pytest.mark.parametrize("chosen", [[3, 0, 7], [1], [6, 1], [2], [4, 4, 3], list(range(8)), []])
def test_every_matrix_and_transposition_is_that_of_the_batch_alone(
    edges: Callable[[GraphCollection], GraphCollection],
    density: float,
    chosen: list[int],
    kernels: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GNN_KERNELS", kernels)
    collection = edges(random_collection(SIZES, density, seed=3))
    graphs = torch.tensor(chosen, dtype=torch.int64)
    alone, part = collection.select(graphs), collection.select_prepared(graphs)
    for name in ("features", "edge_index", "node_pointer", "labels", "sorted_edges", "graph_of_node"):
        assert torch.equal(getattr(part, name), getattr(alone, name)), name
    for name in ("adjacency", "normalized_adjacency", "node_mean"):
        ours, theirs = (tensors_of(getattr(batch, name)) for batch in (part, alone))
        assert all(map(torch.equal, ours, theirs)), name


def test_a_matrix_nobody_asks_for_is_not_made() -> None:
    collection = random_collection(SIZES, 2.0, seed=0)
    part = collection.select_prepared(torch.tensor([0, 3]))
    assert "_whole" in vars(collection)
    assert part.graph_of_node.tolist() == [0] * 5 + [1] * 8
    made = vars(collection)["_whole"]
    assert not {"adjacency", "normalized_adjacency"} & vars(made).keys()
    assert part.adjacency is part.adjacency
    assert "normalized_adjacency" not in vars(made)


@pytest.mark.parametrize("name", ["gin", "gnnnet", "gcn-readout", "sage-readout", "hgpsl"])
def test_training_is_bit_identical_to_that_with_batches_made_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    states = []
    for select in (GraphCollection.select_prepared, GraphCollection.select):
        monkeypatch.setattr(GraphCollection, "select_prepared", select)
        task = random_task()
        task = replace(task, collection=simple(task.collection))
        torch.manual_seed(0)
        model = build_model_for(name, task)
        fit(model, task, TrainingSettings(learning_rate=0.01, weight_decay=0.0, epochs=3, patience=3, batch_size=8), 0)
        states.append(model.state_dict())
    assert all(torch.equal(states[0][key], tensor) for key, tensor in states[1].items())
