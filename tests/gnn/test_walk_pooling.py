"""Walk pooling is what powers of the transition matrices say, in subgraphs that are what breadth-first search finds."""

from collections import deque
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gnn.errors import DatasetError
from gnn.layers import enclosing_subgraph
from gnn.layers.enclosing_subgraph import EnclosingSubgraphs, enclosing_subgraphs
from gnn.layers.linked_adjacency import LinkedAdjacency
from gnn.layers.symmetric_pattern import SymmetricPattern
from gnn.layers.walk_pooling import WalkPooling, transitions, walk_profile

PROPERTY = settings(deadline=None, max_examples=40, derandomize=True)
LONGEST = 5


def random_graph(nodes: int, edges: int, seed: int) -> Tensor:
    """Directed edges, some of them equal and some self-loops."""
    return torch.randint(nodes, (2, edges), generator=torch.Generator().manual_seed(seed))


def all_pairs(nodes: int) -> Tensor:
    return torch.combinations(torch.arange(nodes)).t()


def neighbours_of(edge_index: Tensor, nodes: int) -> list[set[int]]:
    found: list[set[int]] = [set() for _ in range(nodes)]
    for source, target in edge_index.t().tolist():
        if source != target:
            found[source].add(target)
            found[target].add(source)
    return found


def search(neighbours: list[set[int]], pair: tuple[int, int], hops: int) -> set[int]:
    distance = dict.fromkeys(pair, 0)
    queue = deque(pair)
    while queue:
        node = queue.popleft()
        for other in neighbours[node] - distance.keys():
            if distance[node] < hops:
                distance[other] = distance[node] + 1
                queue.append(other)
    return set(distance)


def dense_edges(subgraphs: EnclosingSubgraphs, value: Tensor, empty: float) -> list[Tensor]:
    """One matrix [target, source] per subgraph that holds the values of its edges."""
    pattern, pointer = subgraphs.pattern, subgraphs.node_pointer.tolist()
    whole = value.new_full((len(subgraphs.node),) * 2, empty)
    whole[pattern.row, pattern.column] = value
    return [whole[first:last, first:last] for first, last in pairwise(pointer)]


def softmax_rows(logits: Tensor) -> Tensor:
    return logits.softmax(dim=1).nan_to_num()


def profile_by_powers(logits: Tensor, link: Tensor, longest: int) -> Tensor:
    """The walk profile of one pair from the powers of both transition matrices; logits [nodes, nodes], -inf if none."""
    linked = logits.clone()
    linked[0, 1], linked[1, 0] = link[0], link[1]
    powers = range(2, longest + 1)
    with_link = [torch.linalg.matrix_power(softmax_rows(linked), power) for power in powers]
    without = [torch.linalg.matrix_power(softmax_rows(logits), power) for power in powers]
    return torch.stack(
        [a.trace() - b.trace() for a, b in zip(with_link, without, strict=True)]
        + [power[0, 0] + power[1, 1] for power in with_link]
        + [power[0, 0] + power[1, 1] for power in without]
        + [power[0, 1] + power[1, 0] for power in with_link]
        + [power[0, 1] + power[1, 0] for power in without]
    )


def random_logits(subgraphs: EnclosingSubgraphs, seed: int, spread: float = 2.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = spread * torch.randn(len(subgraphs.pattern.column), dtype=torch.float64, generator=generator)
    return logits, spread * torch.randn(len(subgraphs), 2, dtype=torch.float64, generator=generator)


def profile_of(subgraphs: EnclosingSubgraphs, logits: Tensor, link: Tensor, longest: int = LONGEST) -> Tensor:
    transition, share = transitions(subgraphs.pattern, logits, subgraphs.ends, link)
    return walk_profile(subgraphs.pattern, transition, subgraphs.ends, share, longest)


@PROPERTY
@given(st.integers(2, 9), st.integers(0, 20), st.integers(1, 3), st.integers(0, 999))
def test_subgraphs_are_those_of_a_search_without_the_link(nodes: int, edges: int, hops: int, seed: int) -> None:
    edge_index, pairs = random_graph(nodes, edges, seed), all_pairs(nodes)
    subgraphs = enclosing_subgraphs(edge_index, nodes, pairs, hops)
    neighbours = neighbours_of(edge_index, nodes)
    ones = torch.ones(len(subgraphs.pattern.column))
    adjacencies = dense_edges(subgraphs, ones, 0.0)
    for number, (i, j) in enumerate(pairs.t().tolist()):
        first, last = subgraphs.node_pointer[number : number + 2].tolist()
        inside = subgraphs.node[first:last].tolist()
        assert inside[:2] == [i, j]
        assert sorted(inside) == sorted(search(neighbours, (i, j), hops))
        expected = [[float(b in neighbours[a] and {a, b} != {i, j}) for b in inside] for a in inside]
        assert adjacencies[number].tolist() == expected


def test_subgraphs_do_not_depend_on_the_link_of_their_pair() -> None:
    edge_index = random_graph(10, 15, seed=1)
    pairs = all_pairs(10)
    for number, pair in enumerate(pairs.t()):
        same = (edge_index == pair[:, None]).all(0) | (edge_index == pair.flip(0)[:, None]).all(0)
        with_link = torch.cat([edge_index, pair[:, None]], dim=1)
        one, other = (
            enclosing_subgraphs(edges, 10, pairs[:, number : number + 1], 2)
            for edges in (edge_index[:, ~same], with_link)
        )
        assert torch.equal(one.node, other.node)
        assert torch.equal(one.pattern.column, other.pattern.column)


def test_equal_edges_and_self_loops_change_nothing() -> None:
    edge_index, loops = random_graph(10, 15, seed=2), torch.arange(10).repeat(2, 1)
    pairs = all_pairs(10)
    one = enclosing_subgraphs(edge_index, 10, pairs, 2)
    other = enclosing_subgraphs(torch.cat([edge_index, loops, edge_index.flip(0)], dim=1), 10, pairs, 2)
    assert torch.equal(one.node, other.node)
    assert torch.equal(one.pattern.pointer, other.pattern.pointer)
    assert torch.equal(one.pattern.column, other.pattern.column)


def assert_equal(one: EnclosingSubgraphs, other: EnclosingSubgraphs) -> None:
    assert torch.equal(one.node, other.node)
    assert torch.equal(one.node_pointer, other.node_pointer)
    for name in ("pointer", "column", "reverse"):
        assert torch.equal(getattr(one.pattern, name), getattr(other.pattern, name))


def test_taking_pairs_is_cutting_out_these_pairs() -> None:
    edge_index, pairs = random_graph(9, 14, seed=3), all_pairs(9)
    index = torch.tensor([7, 0, 20, 7])
    taken = enclosing_subgraphs(edge_index, 9, pairs, 2).take(index)
    assert_equal(taken, enclosing_subgraphs(edge_index, 9, pairs[:, index], 2))


def test_cutting_out_a_few_pairs_at_a_time_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    edge_index, pairs = random_graph(9, 14, seed=4), all_pairs(9)
    at_once = enclosing_subgraphs(edge_index, 9, pairs, 2)
    monkeypatch.setattr(enclosing_subgraph, "SCRATCH_ENTRIES", 5 * 9)
    assert_equal(enclosing_subgraphs(edge_index, 9, pairs, 2), at_once)


def test_the_reverse_of_an_edge_goes_the_other_way() -> None:
    pattern = enclosing_subgraphs(random_graph(9, 20, seed=5), 9, all_pairs(9), 2).pattern.repeated(3)
    assert torch.equal(pattern.row[pattern.reverse], pattern.column)
    assert torch.equal(pattern.column[pattern.reverse], pattern.row)


def test_a_node_paired_with_itself_is_refused() -> None:
    pairs = torch.tensor([[0, 2], [1, 2]])
    with pytest.raises(DatasetError, match=r"^node 2 is paired with itself; a subgraph encloses two nodes, so drop"):
        enclosing_subgraphs(random_graph(4, 4, seed=0), 4, pairs, 2)


def test_kernels_have_the_gradients_of_their_equations() -> None:
    pattern = enclosing_subgraphs(random_graph(5, 8, seed=6), 5, torch.tensor([[0], [1]]), 2).pattern
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(len(pattern.row), dtype=torch.float64, generator=generator, requires_grad=True)
    left, right = torch.randn(2, pattern.nodes, 3, dtype=torch.float64, generator=generator).requires_grad_().unbind()
    expected = torch.zeros_like(right).index_add(0, pattern.row, weight[:, None] * right[pattern.column])
    torch.testing.assert_close(pattern.neighbour_sum(weight, right), expected)
    torch.testing.assert_close(pattern.edge_product(left, right), (left[pattern.row] * right[pattern.column]).sum(1))
    assert torch.autograd.gradcheck(pattern.neighbour_sum, (weight, right))
    assert torch.autograd.gradcheck(pattern.edge_product, (left, right))


@PROPERTY
@given(st.integers(2, 8), st.integers(0, 18), st.integers(1, 2), st.integers(2, 8), st.integers(0, 999))
def test_profile_is_that_of_matrix_powers(nodes: int, edges: int, hops: int, longest: int, seed: int) -> None:
    subgraphs = enclosing_subgraphs(random_graph(nodes, edges, seed), nodes, all_pairs(nodes), hops)
    logits, link = random_logits(subgraphs, seed)
    matrices = dense_edges(subgraphs, logits, -torch.inf)
    expected = [profile_by_powers(*pair, longest) for pair in zip(matrices, link, strict=True)]
    torch.testing.assert_close(profile_of(subgraphs, logits, link, longest), torch.stack(expected))


def test_profile_of_extreme_logits() -> None:
    subgraphs = enclosing_subgraphs(random_graph(6, 12, seed=7), 6, all_pairs(6), 2)
    logits, link = random_logits(subgraphs, seed=7, spread=300.0)
    matrices = dense_edges(subgraphs, logits, -torch.inf)
    expected = torch.stack([profile_by_powers(*pair, LONGEST) for pair in zip(matrices, link, strict=True)])
    torch.testing.assert_close(profile_of(subgraphs, logits.float(), link.float()), expected.float())


def test_two_isolated_nodes_only_walk_over_their_link() -> None:
    subgraphs = enclosing_subgraphs(torch.zeros(2, 0, dtype=torch.long), 3, torch.tensor([[2], [0]]), 2)
    profile = profile_of(subgraphs, torch.zeros(0), torch.tensor([[0.3, -0.2]]), longest=4)
    forth_and_back, across, nothing = [2.0, 0.0, 2.0], [0.0, 2.0, 0.0], [0.0] * 3
    assert profile.tolist() == [[*forth_and_back, *forth_and_back, *nothing, *across, *nothing]]


def test_profile_has_the_gradient_of_its_equation() -> None:
    pairs = torch.tensor([[0, 1, 5], [1, 2, 4]])
    subgraphs = enclosing_subgraphs(random_graph(5, 8, seed=8), 6, pairs, 2)
    logits, link = random_logits(subgraphs, seed=8)
    inputs = (logits.requires_grad_(), link.requires_grad_())
    assert torch.autograd.gradcheck(lambda *values: profile_of(subgraphs, *values), inputs)


def test_adjacency_is_that_of_the_graph_with_the_link() -> None:
    edge_index, pairs = random_graph(8, 12, seed=9), torch.tensor([[0, 3, 2], [1, 4, 7]])
    subgraphs = enclosing_subgraphs(edge_index, 8, pairs, 2)
    features = torch.randn(len(subgraphs.node), 3, generator=torch.Generator().manual_seed(0))
    adjacencies = dense_edges(subgraphs, torch.ones(len(subgraphs.pattern.row)), 0.0)
    for adjacency in adjacencies:
        adjacency[0, 1] = adjacency[1, 0] = 1
        adjacency.fill_diagonal_(1)
    scales = [adjacency.sum(1).rsqrt() for adjacency in adjacencies]
    expected = torch.block_diag(*(scale[:, None] * a * scale for a, scale in zip(adjacencies, scales, strict=True)))
    torch.testing.assert_close(LinkedAdjacency(subgraphs) @ features, expected @ features)


def new_layer(heads: int = 2) -> WalkPooling:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return WalkPooling(4, 5, heads, walk_length=3).double().eval()


def pooled(layer: WalkPooling, edge_index: Tensor, pairs: Tensor, z: Tensor) -> Tensor:
    subgraphs = enclosing_subgraphs(edge_index, len(z), pairs, 2)
    return layer(z[subgraphs.node], subgraphs)


def node_states(nodes: int) -> Tensor:
    return 3 * torch.randn(nodes, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(5))


def test_layer_is_its_equation_head_by_head() -> None:
    layer, z, pair = new_layer(), node_states(7), torch.tensor([[0], [1]])
    subgraphs = enclosing_subgraphs(random_graph(7, 14, seed=1), 7, pair, 2)
    inside = z[subgraphs.node]
    key, query = (
        second(torch.nn.functional.leaky_relu(first(inside), 0.2)).view(-1, 2, 5)
        for first, second in ((layer.lin_key1, layer.lin_key2), (layer.lin_query1, layer.lin_query2))
    )
    (edges,) = dense_edges(subgraphs, torch.ones(len(subgraphs.pattern.row)), 0.0)
    assert edges.any()
    expected = []
    for head in range(2):
        logits = key[:, head] @ query[:, head].t() / 5**0.5
        link = torch.stack([logits[0, 1], logits[1, 0]])
        profile = profile_by_powers(logits.masked_fill(edges == 0, -torch.inf), link, longest=4)
        expected += [profile, link.sigmoid().sum()[None]]
    torch.testing.assert_close(layer(inside, subgraphs), torch.cat(expected)[None])


def test_the_order_of_a_pair_does_not_matter() -> None:
    layer, z, pairs, edge_index = new_layer(), node_states(9), all_pairs(9), random_graph(9, 14, seed=2)
    torch.testing.assert_close(pooled(layer, edge_index, pairs.flip(0), z), pooled(layer, edge_index, pairs, z))


def test_a_pair_alone_is_the_pair_among_many() -> None:
    layer, z, pairs, edge_index = new_layer(), node_states(9), all_pairs(9), random_graph(9, 14, seed=4)
    alone = torch.cat([pooled(layer, edge_index, pair, z) for pair in pairs.split(1, dim=1)])
    torch.testing.assert_close(pooled(layer, edge_index, pairs, z), alone)


def test_a_graph_without_edges_has_features() -> None:
    layer = new_layer()
    features = pooled(layer, torch.zeros(2, 0, dtype=torch.long), all_pairs(3), node_states(3))
    assert features.shape == (3, layer.out_channels)
    assert features.isfinite().all()


def test_a_pattern_without_edges_sums_to_nothing() -> None:
    pattern = SymmetricPattern(torch.zeros(4, dtype=torch.long), *torch.zeros(2, 0, dtype=torch.long))
    assert pattern.neighbour_sum(torch.zeros(0), torch.ones(3, 2)).tolist() == [[0.0, 0.0]] * 3
    assert pattern.target_maximum(torch.zeros(0)).tolist() == [0.0] * 3
