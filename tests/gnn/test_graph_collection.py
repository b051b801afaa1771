"""Many graphs in one set of tensors: a batch is what slicing by hand gives, and no edge leaves its graph."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gnn.errors import DatasetError
from gnn.layers import CsrMatrix
from gnn.tasks import Graph, GraphBatch, GraphCollection


def draw_collection(sizes: list[int], seed: int, density: float = 0.3) -> tuple[GraphCollection, list[Tensor]]:
    """Random graphs of these sizes, and the adjacency matrix [nodes, nodes] (target, source) of each."""
    generator = torch.Generator().manual_seed(seed)
    adjacency = [(torch.rand(size, size, generator=generator) < density).long() for size in sizes]
    node_pointer = torch.tensor([0, *sizes]).cumsum(0)
    edges = [matrix.nonzero().T.flip(0) + first for matrix, first in zip(adjacency, node_pointer, strict=False)]
    edge_index = torch.cat(edges, dim=1)
    shuffled = edge_index[:, torch.randperm(edge_index.shape[1], generator=generator)]
    features = torch.rand(sum(sizes), 3, generator=generator)
    labels = torch.randint(2, (len(sizes),), generator=generator)
    return GraphCollection.from_edges(features, shuffled, node_pointer, labels), adjacency


def dense(batch: GraphBatch) -> Tensor:
    """The number of edges from each node (column) to each node (row), [nodes, nodes]."""
    source, target = batch.edge_index
    nodes = len(batch.features)
    return torch.bincount(target * nodes + source, minlength=nodes**2).reshape(nodes, nodes)


SIZES = st.lists(st.integers(1, 6), min_size=1, max_size=6)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(sizes=SIZES, seed=st.integers(0, 1000), density=st.sampled_from([0.0, 0.3, 1.0]), data=st.data())
def test_a_batch_is_what_slicing_by_hand_gives(
    sizes: list[int], seed: int, density: float, data: st.DataObject
) -> None:
    collection, adjacency = draw_collection(sizes, seed, density)
    chosen = data.draw(st.lists(st.integers(0, len(sizes) - 1), min_size=1, max_size=8))
    batch = collection.select(torch.tensor(chosen))
    rows = torch.cat([torch.arange(sum(sizes[:graph]), sum(sizes[: graph + 1])) for graph in chosen])
    assert torch.equal(batch.features, collection.features[rows])
    assert torch.equal(dense(batch), torch.block_diag(*(adjacency[graph] for graph in chosen)))
    assert torch.equal(batch.labels, collection.labels[chosen])
    assert batch.node_pointer.diff().tolist() == [sizes[graph] for graph in chosen]
    assert batch.graph_of_node.tolist() == [i for i, graph in enumerate(chosen) for _ in range(sizes[graph])]
    assert (batch.edge_index[1].diff() >= 0).all()
    assert torch.equal(batch.adjacency.to_dense(), dense(batch).float())


def test_edges_are_sorted_by_target_and_then_source() -> None:
    collection, _ = draw_collection([5, 4, 6], seed=1)
    source, target = collection.edge_index
    assert ((target * 15 + source).diff() > 0).all()
    assert collection.edge_pointer[-1] == collection.edge_index.shape[1]


def test_duplicate_edges_are_kept() -> None:
    edge_index = torch.tensor([[1, 0, 1], [0, 1, 0]])
    collection = GraphCollection.from_edges(torch.zeros(2, 1), edge_index, torch.tensor([0, 2]), torch.tensor([0]))
    assert collection.edge_index.tolist() == [[1, 1, 0], [0, 0, 1]]


def test_graphs_without_edges_and_single_nodes_are_graphs() -> None:
    edge_index = torch.zeros(2, 0, dtype=torch.int64)
    node_pointer, labels = torch.tensor([0, 1, 4, 5]), torch.tensor([1, 0, 1])
    collection = GraphCollection.from_edges(torch.arange(5.0)[:, None], edge_index, node_pointer, labels)
    assert collection.edge_pointer.tolist() == [0, 0, 0, 0]
    batch = collection.select(torch.tensor([2, 1]))
    assert batch.features.flatten().tolist() == [4.0, 1.0, 2.0, 3.0]
    assert batch.edge_index.shape == (2, 0)
    assert batch.graph_of_node.tolist() == [0, 1, 1, 1]


def test_a_graph_without_nodes_is_a_graph() -> None:
    node_pointer = torch.tensor([0, 0, 2, 2, 3])
    edge_index = torch.tensor([[2, 1, 0], [2, 0, 1]])
    collection = GraphCollection.from_edges(torch.arange(3.0)[:, None], edge_index, node_pointer, torch.zeros(4).long())
    assert collection.edge_pointer.tolist() == [0, 0, 2, 2, 3]
    batch = collection.select(torch.tensor([3, 0, 1, 2]))
    assert batch.node_pointer.tolist() == [0, 1, 1, 3, 3]
    assert batch.edge_index.tolist() == [[0, 2, 1], [0, 1, 2]]


@pytest.mark.parametrize(("source", "target"), [(0, 4), (-1, 2)])
def test_an_edge_of_a_node_that_does_not_exist_is_refused(source: int, target: int) -> None:
    edge_index = torch.tensor([[1, source], [0, target]])
    sentence = f"^an edge goes from node {source} to node {target}, but there are 4 nodes, numbered from 0 on; correct "
    features, pointer, labels = torch.zeros(4, 1), torch.tensor([0, 4]), torch.tensor([0])
    for make in (GraphBatch, GraphCollection.from_edges):
        with pytest.raises(DatasetError, match=sentence):
            make(features, edge_index, pointer, labels)
    empty = CsrMatrix(torch.zeros(5).long(), torch.zeros(0).long(), torch.zeros(0), (4, 1))
    with pytest.raises(DatasetError, match=sentence):
        Graph(empty, edge_index, torch.zeros(4, dtype=torch.int64))


@pytest.mark.parametrize(("source", "target"), [(1, 2), (2, 1)])
def test_an_edge_between_two_graphs_is_refused(source: int, target: int) -> None:
    edge_index = torch.tensor([[0, source], [1, target]])
    sentence = f"^the edge from node {source} to node {target} joins two graphs; give every graph its own nodes$"
    with pytest.raises(DatasetError, match=sentence):
        GraphCollection.from_edges(torch.zeros(4, 1), edge_index, torch.tensor([0, 2, 4]), torch.tensor([0, 1]))


def test_its_tensors_make_the_same_collection_again() -> None:
    collection, _ = draw_collection([3, 2], seed=3)
    again = GraphCollection(**collection.tensors).to("cpu")
    assert all(torch.equal(tensor, again.tensors[name]) for name, tensor in collection.tensors.items())
    assert sorted(again.tensors) == ["edge_index", "edge_pointer", "features", "labels", "node_pointer"]


def test_the_adjacency_counts_equal_edges_and_takes_each_nodes_sources_in_any_order() -> None:
    edge_index = torch.tensor([[2, 1, 0, 1, 2, 0], [0, 0, 0, 0, 1, 2]])
    batch = GraphBatch(torch.zeros(3, 4), edge_index, torch.tensor([0, 3]), torch.tensor([0]))
    assert batch.adjacency.to_dense().tolist() == [[1, 2, 1], [0, 0, 1], [1, 0, 0]]
    assert batch.adjacency is batch.adjacency
