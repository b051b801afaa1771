"""Who is protected: by degree, graph by graph, and as often as the probabilities say."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gnn.errors import SettingError
from gnn.quantization.degree_protection import DegreeProtection, protection_probability

PROPERTY = settings(deadline=None, max_examples=100, derandomize=True)
GRAPHS = st.lists(st.lists(st.integers(0, 6), max_size=6), min_size=1, max_size=5)


def batch(graphs: list[list[int]]) -> tuple[Tensor, Tensor]:
    """The in-degrees of all nodes, and the node pointer."""
    sizes = torch.tensor([0, *map(len, graphs)])
    return torch.tensor([degree for graph in graphs for degree in graph], dtype=torch.int64), sizes.cumsum(0)


@PROPERTY
@given(GRAPHS, st.floats(0, 1), st.floats(0, 1))
def test_the_probability_is_the_share_of_the_own_graph_that_has_no_more_edges(
    graphs: list[list[int]], one: float, other: float
) -> None:
    low, high = sorted((one, other))
    expected = [
        low + (high - low) * sum(than <= degree for than in graph) / len(graph) for graph in graphs for degree in graph
    ]
    found = protection_probability(*batch(graphs), low, high)
    assert found.tolist() == pytest.approx(expected, abs=1e-6)


@PROPERTY
@given(GRAPHS)
def test_more_edges_are_never_less_likely_and_equals_share_a_probability(graphs: list[list[int]]) -> None:
    in_degree, pointer = batch(graphs)
    probability = protection_probability(in_degree, pointer, 0.1, 0.4)
    for first, last in zip(pointer[:-1].tolist(), pointer[1:].tolist(), strict=True):
        degree, of_graph = in_degree[first:last], probability[first:last]
        assert ((degree[:, None] < degree) == (of_graph[:, None] < of_graph)).all()
        if first < last:
            assert of_graph.max().item() == pytest.approx(0.4)
            assert of_graph.min() > 0.1


def test_the_neighbours_in_a_batch_make_no_difference() -> None:
    alone = protection_probability(*batch([[1, 2, 2, 7]]), 0.0, 0.1)
    together = protection_probability(*batch([[50, 60], [1, 2, 2, 7], [0]]), 0.0, 0.1)
    assert torch.equal(together[2:6], alone)


def drawn(protection: DegreeProtection, nodes: int, times: int, *arguments: Tensor) -> Tensor:
    """How often each node was protected."""
    count = torch.zeros(nodes)
    for _ in range(times):
        protection.draw(*arguments)
        count[protection.rows(nodes)] += 1
    return count / times


def test_nodes_are_drawn_as_often_as_they_are_likely() -> None:
    in_degree, pointer = batch([[0, 1, 2, 3], [9, 9, 1]])
    expected = protection_probability(in_degree, pointer, 0.1, 0.9)
    share = drawn(DegreeProtection(0.1, 0.9), 7, 3000, in_degree, pointer)
    assert share.tolist() == pytest.approx(expected.tolist(), abs=0.04)


def test_without_a_pointer_all_nodes_are_of_one_graph() -> None:
    in_degree = torch.tensor([0, 1, 2, 3])
    share = drawn(DegreeProtection(0.0, 1.0), 4, 2000, in_degree)
    assert share.tolist() == pytest.approx([0.25, 0.5, 0.75, 1.0], abs=0.04)


def test_certain_probabilities_leave_nothing_to_chance() -> None:
    in_degree = torch.tensor([3, 0, 5])
    assert drawn(DegreeProtection(0.0, 0.0), 3, 20, in_degree).tolist() == [0, 0, 0]
    assert drawn(DegreeProtection(1.0, 1.0), 3, 20, in_degree).tolist() == [1, 1, 1]


def test_a_seed_has_one_mask() -> None:
    protection, in_degree = DegreeProtection(0.2, 0.8), torch.arange(60)
    masks = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        protection.draw(in_degree)
        masks.append(protection.rows(60).tolist())
    assert masks[0] == masks[1] != masks[2]


def test_the_graph_that_is_always_the_same_is_drawn_again() -> None:
    protection = DegreeProtection(0.3, 0.7, in_degree=torch.arange(50))
    masks = []
    for _ in range(3):
        protection.draw_again()
        masks.append(protection.rows(50).tolist())
    assert masks[0] != masks[1] != masks[2]


def test_without_such_a_graph_the_last_mask_stays() -> None:
    protection = DegreeProtection(0.3, 0.7)
    protection.draw(torch.arange(50))
    before = protection.rows(50).tolist()
    protection.draw_again()
    assert protection.rows(50).tolist() == before


def protecting(mask: list[bool]) -> DegreeProtection:
    protection = DegreeProtection(0.0, 1.0)
    protection.protect(torch.tensor(mask))
    return protection


def test_nodes_that_stay_keep_their_protection_in_their_new_order() -> None:
    protection = protecting([True, False, True, False, True])
    assert protection.rows(5).tolist() == [0, 2, 4]
    protection.narrow(torch.tensor([4, 3, 0]))
    assert protection.rows(3).tolist() == [0, 2]
    protection.narrow(torch.tensor([1]))
    assert protection.rows(1).tolist() == []


def test_narrowing_before_anything_was_drawn_does_nothing() -> None:
    protection = DegreeProtection(0.0, 1.0)
    protection.narrow(torch.tensor([0, 1]))
    with pytest.raises(SettingError, match="the degrees of 0 nodes are known"):
        protection.rows(2)


def test_several_rows_of_a_node_stand_next_to_each_other() -> None:
    protection = protecting([False, True, False, True])
    assert protection.rows(12).tolist() == [3, 4, 5, 9, 10, 11]
    assert protection.rows(4).tolist() == [1, 3]
    protection.protect(torch.tensor([True, False, False, False]))
    assert protection.rows(12).tolist() == [0, 1, 2]


def test_rows_can_say_which_node_they_belong_to() -> None:
    protection = protecting([False, True, False, True])
    assert protection.rows(6, torch.tensor([1, 1, 0, 3, 2, 1])).tolist() == [0, 1, 3, 5]
    assert protection.rows(0, torch.zeros(0, dtype=torch.int64)).tolist() == []


@pytest.mark.parametrize(("low", "high"), [(0.5, 0.4), (-0.1, 0.5), (0.0, 1.1), (math.nan, 0.5), (0.1, math.nan)])
def test_what_is_no_pair_of_probabilities_is_refused(low: float, high: float) -> None:
    with pytest.raises(SettingError) as caught:
        DegreeProtection(low, high)
    assert str(caught.value) == (
        f"protection from {low} to {high} is no pair of probabilities; give 0 <= low <= high <= 1"
    )


def test_rows_that_no_degree_is_known_of_are_refused() -> None:
    with pytest.raises(SettingError) as caught:
        DegreeProtection(0.0, 1.0).rows(5)
    assert str(caught.value) == "5 rows are to be protected by degree, but the degrees of 0 nodes are known"
    with pytest.raises(SettingError) as caught:
        DegreeProtection(0.0, 1.0).rows(5, torch.zeros(5, dtype=torch.int64))
    assert str(caught.value) == "5 rows are to be protected by degree, but the degrees of 0 nodes are known"
    with pytest.raises(SettingError) as caught:
        protecting([True, False]).rows(5)
    assert str(caught.value) == "5 rows are to be protected by degree, but the degrees of 2 nodes are known"
