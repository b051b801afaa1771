"""A pattern of edges is made of any order of them, and of a simple undirected graph alone."""

import pytest
import torch

from gnn.errors import DatasetError
from gnn.layers.symmetric_pattern import SymmetricPattern


def test_a_pattern_is_made_of_edges_in_any_order() -> None:
    target, source = torch.tensor([[2, 0, 1, 0], [0, 1, 0, 2]])
    pattern = SymmetricPattern.from_edges(target, source, 4)
    assert pattern.pointer.tolist() == [0, 2, 3, 4, 4]
    assert pattern.column.tolist() == [1, 2, 0, 0]
    assert pattern.reverse.tolist() == [2, 3, 0, 1]


@pytest.mark.parametrize(
    ("edges", "fault"),
    [
        ([(0, 1), (1, 0), (2, 2)], "node 2 to node 2 is a self-loop"),
        ([(0, 1), (1, 0), (0, 1), (1, 0)], "node 1 to node 0 is there twice"),
        ([(0, 1), (1, 0), (0, 1)], "node 0 to node 1 is there twice"),
        ([(0, 1), (1, 0), (1, 2)], "node 1 to node 2 has no reverse"),
    ],
)
def test_edges_of_no_simple_undirected_graph_are_refused(edges: list[tuple[int, int]], fault: str) -> None:
    source, target = torch.tensor(edges).t()
    with pytest.raises(DatasetError) as caught:
        SymmetricPattern.from_edges(target, source, 3)
    assert str(caught.value) == f"the edge from {fault}; give every edge between two nodes once in each direction"
