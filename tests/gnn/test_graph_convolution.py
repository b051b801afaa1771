"""The graph convolution equals PyG's and the formula of DGL, forwards and backwards, on any graph."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.nn import GCNConv

from gnn.layers import CsrMatrix, GraphConvolution, NormalizedAdjacency

PROPERTY = settings(deadline=None, max_examples=30, derandomize=True)
NODES = st.integers(1, 6)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[int, Tensor]:
    """Directed graphs with self-loops, equal edges, isolated nodes, or no edge at all."""
    nodes = draw(NODES)
    edges = draw(st.lists(st.tuples(st.integers(0, nodes - 1), st.integers(0, nodes - 1)), max_size=15))
    return nodes, torch.tensor(edges, dtype=torch.int64).reshape(-1, 2).t()


def new_layer(*, bias: bool = True) -> GraphConvolution:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = GraphConvolution(4, 3, bias=bias)
        if layer.bias is not None:
            torch.nn.init.normal_(layer.bias)
        return layer


def new_features(nodes: int) -> Tensor:
    return torch.randn(nodes, 4, generator=torch.Generator().manual_seed(nodes))


def dense_dgl(edge_index: Tensor, nodes: int) -> Tensor:
    """DGL, GraphConv with norm="both": every message over the square roots of both degrees, each at least 1."""
    adjacency = torch.zeros(nodes, nodes)
    for source, target in edge_index.t().tolist():
        adjacency[target, source] += 1
    return adjacency / (adjacency.sum(1).clamp(min=1).sqrt()[:, None] * adjacency.sum(0).clamp(min=1).sqrt()[None])


def gradients(output: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    weight = torch.randn(output.shape, generator=torch.Generator().manual_seed(5))
    return list(torch.autograd.grad((output * weight).sum(), inputs))


def assert_close(ours: list[Tensor], theirs: list[Tensor]) -> None:
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@PROPERTY
@given(graphs())
def test_it_is_pygs_gcn_conv(graph: tuple[int, Tensor]) -> None:
    nodes, edge_index = graph
    layer, reference = new_layer(), GCNConv(4, 3)
    reference.load_state_dict(layer.state_dict())
    x, y = (new_features(nodes).requires_grad_() for _ in range(2))
    ours, theirs = layer(x, NormalizedAdjacency(edge_index, nodes)), reference(y, edge_index)
    assert_close([ours], [theirs])
    assert_close(gradients(ours, [x, *layer.parameters()]), gradients(theirs, [y, *_ordered(reference, layer)]))


def _ordered(reference: torch.nn.Module, layer: GraphConvolution) -> list[Tensor]:
    return [reference.get_parameter(name) for name, _ in layer.named_parameters()]


@PROPERTY
@given(graphs())
def test_without_self_loops_it_is_the_formula_of_dgl(graph: tuple[int, Tensor]) -> None:
    nodes, edge_index = graph
    layer = new_layer()
    x, y = (new_features(nodes).requires_grad_() for _ in range(2))
    ours = layer(x, NormalizedAdjacency(edge_index, nodes, self_loops=False))
    assert layer.bias is not None
    theirs = dense_dgl(edge_index, nodes) @ (y @ layer.lin.weight.t()) + layer.bias
    assert_close([ours], [theirs])
    assert_close(gradients(ours, [x, *layer.parameters()]), gradients(theirs, [y, *layer.parameters()]))


def test_a_node_without_incoming_edges_gets_its_bias() -> None:
    layer = new_layer()
    edge_index = torch.tensor([[0, 0, 1], [1, 2, 2]])
    out = layer(new_features(4), NormalizedAdjacency(edge_index, 4, self_loops=False))
    assert layer.bias is not None
    torch.testing.assert_close(out[[0, 3]], layer.bias.expand(2, -1))
    assert not torch.allclose(out[1], layer.bias)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("self_loops", [True, False])
def test_sparse_features_and_a_sparse_adjacency_give_the_same(bias: bool, self_loops: bool) -> None:
    layer = new_layer(bias=bias)
    dense = new_features(5) * (new_features(5) > 0)
    row, column = dense.nonzero().unbind(1)
    sparse = CsrMatrix.from_coordinates(row, column, dense[row, column], (5, 4))
    adjacency = NormalizedAdjacency(torch.tensor([[0, 1, 1, 4], [1, 0, 4, 4]]), 5, self_loops=self_loops)
    weights = adjacency @ torch.eye(5)
    row, column = weights.nonzero().unbind(1)
    matrix = CsrMatrix.from_coordinates(row, column, weights[row, column], (5, 5))
    expected = layer(dense, adjacency)
    of_expected = gradients(expected, list(layer.parameters()))
    for features, operator in ((sparse, adjacency), (dense, matrix), (sparse, matrix)):
        out = layer(features, operator)
        assert_close([out], [expected])
        assert_close(gradients(out, list(layer.parameters())), of_expected)


def test_weights_are_glorots_and_biases_zero() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = GraphConvolution(400, 200)
    assert layer.bias is not None
    assert not layer.bias.any()
    bound = (6 / 600) ** 0.5
    assert 0.99 * bound < float(layer.lin.weight.detach().abs().max()) <= bound
    assert float(layer.lin.weight.detach().std()) == pytest.approx(bound / 3**0.5, rel=0.01)
