"""HGP-SL pooling is what its equations say, and no node's number matters."""

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gnn.errors import SettingError
from gnn.layers.csr_matrix import CsrMatrix
from gnn.layers.hgpsl_convolution import HgpSlConvolution
from gnn.layers.hgpsl_pool import HgpSlPool, PooledGraphs, degree_normalised, information_score, top_nodes
from gnn.layers.neighbourhood import all_pairs, pairs_within_four_hops
from gnn.runtime import compile, explain  # noqa: A004

PROPERTY = settings(deadline=None, max_examples=25, derandomize=True)
CHANNELS = 5
SWITCHES = [(sample, sparse) for sample in (True, False) for sparse in (True, False)]


def random_batch(sizes: list[int], edges: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Features, a dense weighted directed adjacency [source, target] without edges between graphs, a node pointer."""
    generator = torch.Generator().manual_seed(seed)
    nodes, pointer = sum(sizes), torch.tensor([0, *sizes]).cumsum(0)
    graph = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    source, target = torch.randint(max(1, nodes), (2, edges), generator=generator)
    same = graph[source] == graph[target]
    dense = torch.zeros(nodes, nodes, dtype=torch.float64)
    dense[source[same], target[same]] = 0.2 + torch.rand(int(same.sum()), dtype=torch.float64, generator=generator)
    return torch.randn(nodes, CHANNELS, dtype=torch.float64, generator=generator), dense, pointer


def as_matrix(dense: Tensor) -> CsrMatrix:
    """The adjacency [source, target] in the form that pooling takes, targets as rows."""
    target, source = dense.detach().t().nonzero(as_tuple=True)
    return CsrMatrix.from_coordinates(target, source, dense[source, target], (len(dense), len(dense)))


def new_pool(ratio: float = 0.5, **switches: bool) -> HgpSlPool:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return HgpSlPool(CHANNELS, ratio, structure_weight=0.7, **switches).double()


def learn_densely(pool: HgpSlPool, x: Tensor, adjacency: Tensor, allowed: Tensor) -> Tensor:
    """New weights [source, target] of one set of nodes, row by row."""
    rows = []
    for i in range(len(x)):
        pairs = torch.cat([x[i].expand_as(x), x], dim=1)
        score = torch.nn.functional.leaky_relu(pairs @ pool.att[0], 0.2) + 0.7 * adjacency[i]
        use = allowed[i] & (score != 0) if pool.sample_neighbors else allowed[i]
        row = torch.zeros_like(score)
        if use.any():
            row[use] = sorted_sparsemax(score[use]) if pool.sparse_attention else score[use].softmax(0)
        rows.append(row)
    return torch.stack(rows)


def sorted_sparsemax(score: Tensor) -> Tensor:
    ordered = score.sort(descending=True).values
    size = int((1 + torch.arange(1, len(score) + 1) * ordered > ordered.cumsum(0)).sum())
    return (score - (ordered[:size].sum() - 1) / size).clamp(min=0)


def expected_weights(pool: HgpSlPool, x: Tensor, adjacency: Tensor, pointer: Tensor, pooled: PooledGraphs) -> Tensor:
    chosen = pooled.chosen
    step = (torch.eye(len(x)) + (adjacency.detach() != 0)).double()
    graph = torch.repeat_interleave(torch.arange(len(pointer) - 1), pointer.diff())
    allowed = torch.linalg.matrix_power(step, 4) > 0 if pool.sample_neighbors else graph[:, None] == graph
    return learn_densely(pool, x[chosen], adjacency[chosen][:, chosen], allowed[chosen][:, chosen])


@PROPERTY
@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=4),
    st.integers(0, 40),
    st.sampled_from(SWITCHES),
    st.sampled_from([0.3, 0.5, 1.0]),
    st.integers(0, 999),
)
def test_pool_is_the_equations_with_dense_matrices(
    sizes: list[int], edges: int, switches: tuple[bool, bool], ratio: float, seed: int
) -> None:
    x, dense, pointer = random_batch(sizes, edges, seed)
    pool = new_pool(ratio, sample_neighbors=switches[0], sparse_attention=switches[1])
    x, dense = x.requires_grad_(), dense.requires_grad_()
    pooled = pool(x, as_matrix(dense), pointer)
    expected = expected_weights(pool, x, dense, pointer, pooled)
    learned = pooled.adjacency.to_dense().t()
    torch.testing.assert_close(learned, expected)
    torch.testing.assert_close(pooled.features, x[pooled.chosen])
    weight = torch.cos(torch.arange(learned.numel(), dtype=torch.float64)).view_as(learned)
    inputs = [x, dense, pool.att]
    found = torch.autograd.grad((learned * weight).sum(), inputs, retain_graph=True)
    wanted = torch.autograd.grad((expected * weight).sum(), inputs)
    torch.testing.assert_close(found[0], wanted[0])
    torch.testing.assert_close(found[1], wanted[1] * (dense != 0))
    torch.testing.assert_close(found[2], wanted[2])


@PROPERTY
@given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(0, 40), st.integers(0, 999))
def test_weights_of_every_source_sum_to_one(sizes: list[int], edges: int, seed: int) -> None:
    x, dense, pointer = random_batch(sizes, edges, seed)
    for sample, sparse in SWITCHES:
        pooled = new_pool(sample_neighbors=sample, sparse_attention=sparse)(x, as_matrix(dense), pointer)
        assert (pooled.adjacency.value > 0).all()
        total = pooled.adjacency.to_dense().sum(0)
        torch.testing.assert_close(total, torch.ones_like(total))


@PROPERTY
@given(st.integers(1, 12), st.integers(0, 30), st.integers(0, 999))
def test_pairs_are_those_that_four_steps_join(nodes: int, edges: int, seed: int) -> None:
    _, dense, _ = random_batch([nodes], edges, seed)
    chosen = torch.randperm(nodes, generator=torch.Generator().manual_seed(seed))[: (nodes + 1) // 2]
    pairs = pairs_within_four_hops(as_matrix(dense), chosen)
    step = (torch.eye(nodes) + (dense != 0)).double()
    joined = (torch.linalg.matrix_power(step, 4) > 0)[chosen][:, chosen]
    assert torch.equal(torch.stack([pairs.source, pairs.target]), joined.nonzero().t())
    assert torch.equal(pairs.position(pairs.source, pairs.target), torch.arange(len(pairs.source)))


def test_all_pairs_are_the_blocks_of_the_graphs() -> None:
    pairs = all_pairs(torch.tensor([0, 2, 2, 3, 6]))
    blocks = torch.block_diag(torch.ones(2, 2), torch.ones(1, 1), torch.ones(3, 3))
    assert torch.equal(torch.stack([pairs.source, pairs.target]), blocks.nonzero().t())
    assert pairs.nodes == 6


def test_five_steps_are_too_far() -> None:
    path = torch.diag(torch.ones(5, dtype=torch.float64), 1)
    pairs = pairs_within_four_hops(as_matrix(path + path.t()), torch.tensor([0, 4, 5]))
    assert list(zip(pairs.source.tolist(), pairs.target.tolist(), strict=True)) == [
        (0, 0),
        (0, 1),
        (1, 0),
        (1, 1),
        (1, 2),
        (2, 1),
        (2, 2),
    ]


def test_score_is_the_distance_from_what_neighbours_say() -> None:
    x, dense, _ = random_batch([6], 20, seed=1)
    dense[2] = 0
    scale = torch.where(dense.sum(1) > 0, dense.sum(1).rsqrt(), 0)
    expected = (x - (scale[:, None] * dense * scale).t() @ x).abs().sum(1)
    torch.testing.assert_close(information_score(x, as_matrix(dense)), expected)
    normalised = degree_normalised(as_matrix(dense)).to_dense()
    torch.testing.assert_close(normalised, (scale[:, None] * dense * scale).t())


def test_the_best_of_every_graph_stay_and_equal_ones_in_their_order() -> None:
    score = torch.tensor([1.0, 3.0, 2.0, 7.0, 5.0, 5.0, 5.0, 5.0, 0.0])
    chosen, pointer = top_nodes(score, torch.tensor([0, 3, 4, 4, 9]), 0.5)
    assert chosen.tolist() == [1, 2, 3, 4, 5, 6]
    assert pointer.tolist() == [0, 2, 3, 3, 6]


def weights_by_old_numbers(pooled: PooledGraphs, nodes: int) -> Tensor:
    full = torch.zeros(nodes, nodes, dtype=torch.float64)
    full[pooled.chosen[:, None], pooled.chosen] = pooled.adjacency.to_dense()
    return full


@pytest.fixture(params=SWITCHES, ids=lambda switches: "sample={} sparse={}".format(*switches))
def pool(request: pytest.FixtureRequest) -> Iterator[HgpSlPool]:
    sample, sparse = request.param
    with torch.no_grad():
        yield new_pool(sample_neighbors=sample, sparse_attention=sparse)


def test_without_edges_every_node_has_at_least_itself(pool: HgpSlPool) -> None:
    x, dense, pointer = random_batch([1, 4], 0, seed=7)
    pooled = pool(x, as_matrix(dense), pointer)
    assert pooled.node_pointer.tolist() == [0, 1, 3]
    if pool.sample_neighbors:
        assert torch.equal(pooled.adjacency.to_dense(), torch.eye(3, dtype=torch.float64))


def test_an_edge_twice_is_an_edge_of_twice_the_weight(pool: HgpSlPool) -> None:
    x, dense, pointer = random_batch([8], 30, seed=8)
    once = as_matrix(dense)
    row, column, value = once.row.repeat(2), once.column.repeat(2), once.value.repeat(2)
    twice = pool(x, CsrMatrix.from_coordinates(row, column, value, once.shape), pointer)
    doubled = pool(x, as_matrix(2 * dense), pointer)
    assert torch.equal(twice.chosen, doubled.chosen)
    torch.testing.assert_close(twice.adjacency.to_dense(), doubled.adjacency.to_dense())


def test_a_pair_with_score_zero_is_skipped_only_when_neighbours_are_sampled() -> None:
    x = torch.zeros(2, CHANNELS, dtype=torch.float64)
    nothing = as_matrix(torch.zeros(2, 2, dtype=torch.float64))
    pointer = torch.tensor([0, 2])
    assert new_pool(1.0)(x, nothing, pointer).adjacency.value.numel() == 0
    everything = new_pool(1.0, sample_neighbors=False)(x, nothing, pointer).adjacency.to_dense()
    assert torch.equal(everything, torch.full((2, 2), 0.5, dtype=torch.float64))


def test_a_weight_that_becomes_zero_is_no_edge() -> None:
    x = torch.zeros(2, CHANNELS, dtype=torch.float64)
    heavy = as_matrix(torch.tensor([[0.0, 1e4], [0.0, 0.0]], dtype=torch.float64))
    pool = new_pool(1.0, sample_neighbors=False, sparse_attention=False)
    learned = pool(x, heavy, torch.tensor([0, 2])).adjacency
    assert learned.value.tolist() == [0.5, 1.0, 0.5]
    assert (learned.row.tolist(), learned.column.tolist()) == ([0, 1, 1], [1, 0, 1])


def test_without_structure_learning_edges_are_those_between_the_chosen() -> None:
    x, dense, pointer = random_batch([9, 5], 60, seed=9)
    pooled = new_pool(structure_learning=False)(x, as_matrix(dense), pointer)
    expected = dense[pooled.chosen][:, pooled.chosen].t()
    assert torch.equal(pooled.adjacency.to_dense(), expected)


@pytest.mark.parametrize("ratio", [0.0, -0.1, 1.5])
def test_a_ratio_that_keeps_no_share_is_refused(ratio: float) -> None:
    with pytest.raises(SettingError, match=rf"^pooling ratio {ratio} is outside \(0, 1\]; give the share of nodes"):
        HgpSlPool(4, ratio)


@pytest.mark.parametrize(
    ("sizes", "edges", "attention"),
    [([0], 0, 1.0), ([1, 0, 2], 0, 1.0), ([7, 1, 30], 90, 1.0), ([150, 3], 400, 1.0), ([40], 3000, 1e-3)],
)
def test_compiled_pooling_and_convolution_are_the_layers_bit_for_bit(
    sizes: list[int], edges: int, attention: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GNN_KERNELS", "native")
    x, dense, pointer = random_batch(sizes, edges, seed=5)
    target, source = torch.cat([dense.t().nonzero(), dense.t().nonzero()[:9]]).t()
    adjacency = CsrMatrix.from_coordinates(target, source, dense[source, target].float(), (len(x), len(x)))
    # Some nodes are alike, and some scores are exactly 0.
    x[::3] = 0
    pool, convolution = new_pool().float(), HgpSlConvolution(CHANNELS, CHANNELS)
    with torch.no_grad():
        pool.att.mul_(attention)
        compiled, expected = compile(pool), pool(x.float(), adjacency, pointer)
        assert explain(compiled)[""].startswith("pooling by one walk")
        for _ in range(2):
            found = compiled(x.float(), adjacency, pointer)
            for name in ("features", "node_pointer", "chosen"):
                assert torch.equal(getattr(found, name), getattr(expected, name))
            for name in ("row_pointer", "column", "value"):
                assert torch.equal(getattr(found.adjacency, name), getattr(expected.adjacency, name))
        convolved = compile(convolution)(expected.features, expected.adjacency)
        assert torch.equal(convolved, convolution(expected.features, expected.adjacency))
    left = explain(compile(new_pool(sparse_attention=False)))[""]
    assert left.startswith("HgpSlPool is left as it is: only learned edges between sampled neighbours by sparse")
