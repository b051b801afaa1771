"""The spline convolution is what its equation says, on any graph."""

from itertools import product
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gnn.errors import SettingError
from gnn.layers import CsrMatrix, SplineConvolution, spline_basis
from gnn.testing import check_model, report

PROPERTY = settings(deadline=None, max_examples=40, derandomize=True)
AGGREGATIONS = ("add", "mean", "max")


def b_spline(degree: int, t: float) -> float:
    """The cardinal B-spline on [0, degree + 1] by Cox and de Boor's recursion."""
    if degree == 0:
        return 1.0 if 0 <= t < 1 else 0.0
    return (t * b_spline(degree - 1, t) + (degree + 1 - t) * b_spline(degree - 1, t - 1)) / degree


def message(layer: SplineConvolution, x: Tensor, u: Tensor) -> Tensor:
    """Sum over all kernel points of B_p(u) x W_p, one dimension after the other, as SplineCNN defines it."""
    out = torch.zeros(layer.out_channels, dtype=x.dtype)
    for offsets in product(range(layer.degree + 1), repeat=len(layer.grid)):
        basis, kernel_point, stride = 1.0, 0, 1
        for dimension, offset in enumerate(offsets):
            size = layer.grid[dimension]
            position = float(u[dimension]) * (size - layer.degree * layer.is_open[dimension])
            whole = int(position)
            basis *= b_spline(layer.degree, position - whole + layer.degree - offset)
            kernel_point += (whole + offset) % size * stride
            stride *= size
        out = out + basis * (x @ layer.weight[kernel_point])
    return out


def convolve_edge_by_edge(layer: SplineConvolution, x: Tensor, edge_index: Tensor, pseudo: Tensor) -> Tensor:
    rows = []
    for node in range(len(x)):
        edges = (edge_index[1] == node).nonzero().flatten().tolist()
        messages = [message(layer, x[edge_index[0, edge]], pseudo[edge]) for edge in edges]
        messages = torch.stack(messages) if messages else torch.zeros(1, layer.out_channels, dtype=x.dtype)
        row = {"add": messages.sum(0), "mean": messages.mean(0), "max": messages.amax(0)}[layer.aggregation]
        if layer.lin is not None:
            row = row + x[node] @ layer.lin.weight.t()
        rows.append(row if layer.bias is None else row + layer.bias)
    return torch.stack(rows)


def new_layer(aggregation: str = "mean", dimension: int = 1, **settings_: Any) -> SplineConvolution:  # noqa: ANN401
    with torch.random.fork_rng():
        torch.manual_seed(1)
        layer = SplineConvolution(3, 2, [3, 4, 5][:dimension], aggregation=aggregation, **settings_).double()
        if layer.bias is not None:
            torch.nn.init.normal_(layer.bias)
    return layer


def random_graph(nodes: int, edges: int, dimension: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(nodes, 3, dtype=torch.float64, generator=generator)
    edge_index = torch.randint(nodes, (2, edges), generator=generator)
    return x, edge_index, torch.rand(edges, dimension, dtype=torch.float64, generator=generator)


@st.composite
def layers(draw: st.DrawFn) -> SplineConvolution:
    dimension = draw(st.integers(1, 3))
    return new_layer(
        draw(st.sampled_from(AGGREGATIONS)),
        dimension,
        degree=draw(st.integers(1, 3)),
        is_open_spline=draw(st.lists(st.booleans(), min_size=dimension, max_size=dimension)),
        root_weight=draw(st.booleans()),
        bias=draw(st.booleans()),
    )


@settings(PROPERTY, max_examples=80)
@given(layers(), st.integers(1, 6), st.integers(0, 12), st.integers(0, 999))
def test_layer_is_the_equation_edge_by_edge(layer: SplineConvolution, nodes: int, edges: int, seed: int) -> None:
    graph = random_graph(nodes, edges, len(layer.grid), seed)
    torch.testing.assert_close(layer(*graph), convolve_edge_by_edge(layer, *graph))


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_it_keeps_what_is_owed_to_graphs(aggregation: str) -> None:
    found = report(check_model(new_layer(aggregation), random_graph(20, 60, 1, seed=3)))
    assert not found.failed, f"\n{found}"


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
@pytest.mark.parametrize("nodes", [1, 5])
def test_without_edges_only_root_and_bias_are_left(aggregation: str, nodes: int) -> None:
    layer = new_layer(aggregation)
    x, edge_index, pseudo = random_graph(nodes, 0, 1, seed=0)
    assert layer.lin is not None
    assert layer.bias is not None
    torch.testing.assert_close(layer(x, edge_index, pseudo), x @ layer.lin.weight.t() + layer.bias)


@pytest.mark.parametrize(("aggregation", "factor"), [("add", 2.0), ("mean", 1.0), ("max", 1.0)])
def test_every_edge_twice(aggregation: str, factor: float) -> None:
    layer = new_layer(aggregation, root_weight=False, bias=False)
    x, edge_index, pseudo = random_graph(6, 15, 1, seed=6)
    twice = layer(x, edge_index.repeat(1, 2), pseudo.repeat(2, 1))
    torch.testing.assert_close(twice, factor * layer(x, edge_index, pseudo))


@pytest.mark.parametrize("aggregation", ["add", "mean"])
@pytest.mark.parametrize("root_weight", [True, False])
def test_an_operator_built_before_gives_the_same(aggregation: str, root_weight: bool) -> None:
    layer = new_layer(aggregation, root_weight=root_weight)
    x, edge_index, pseudo = random_graph(8, 20, 1, seed=7)
    operator = layer.operator(edge_index, pseudo, 8)
    assert operator.shape == (8, 8 * (3 + root_weight))
    assert torch.equal(layer.propagate(x, operator), layer(x, edge_index, pseudo))


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_sparse_features_give_the_same_as_dense_ones(aggregation: str) -> None:
    layer = new_layer(aggregation)
    x, edge_index, pseudo = random_graph(8, 20, 1, seed=8)
    x = x * (x > 0)
    row, column = x.nonzero(as_tuple=True)
    sparse = CsrMatrix.from_coordinates(row, column, x[row, column], (8, 3))
    torch.testing.assert_close(layer(sparse, edge_index, pseudo), layer(x, edge_index, pseudo))


def test_state_has_the_names_and_shapes_of_the_reference() -> None:
    state = SplineConvolution(3, 2, [4, 5], is_open_spline=[True, False]).state_dict()
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == {
        "weight": (20, 3, 2),
        "lin.weight": (2, 3),
        "bias": (2,),
        "kernel_size": (2,),
        "is_open_spline": (2,),
    }
    assert (state["kernel_size"].tolist(), state["kernel_size"].dtype) == ([4, 5], torch.int64)
    assert (state["is_open_spline"].tolist(), state["is_open_spline"].dtype) == ([1, 0], torch.uint8)


def test_state_without_root_and_bias_lacks_them() -> None:
    layer = SplineConvolution(3, 2, [4], root_weight=False, bias=False)
    assert set(layer.state_dict()) == {"weight", "kernel_size", "is_open_spline"}


def test_fresh_weights_fill_the_range_of_their_fan_in() -> None:
    torch.manual_seed(0)
    layer = SplineConvolution(100, 50, [4])
    assert layer.lin is not None
    assert 0.045 < layer.weight.abs().max().item() <= 0.05
    assert 0.095 < layer.lin.weight.abs().max().item() <= 0.1
    assert layer.bias is not None
    assert not layer.bias.any()


@PROPERTY
@given(st.integers(1, 3), st.integers(1, 3), st.booleans(), st.integers(0, 999))
def test_basis_is_a_partition_of_unity_over_distinct_kernel_points(
    degree: int, dimension: int, is_open: bool, seed: int
) -> None:
    pseudo = torch.rand(10, dimension, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    basis, index = spline_basis(pseudo, [5] * dimension, [is_open] * dimension, degree)
    assert basis.shape == index.shape == (10, (degree + 1) ** dimension)
    torch.testing.assert_close(basis.sum(1), torch.ones(10, dtype=torch.float64))
    assert (basis >= 0).all()
    assert (index >= 0).all()
    assert (index < 5**dimension).all()
    assert all(len(row.unique()) == len(row) for row in index)


@pytest.mark.parametrize("edge", [0.0, 1.0])
def test_the_ends_of_an_open_spline_are_its_first_and_last_kernel_point(edge: float) -> None:
    basis, index = spline_basis(torch.tensor([[edge]]), [2], [True], 1)
    assert torch.zeros(1, 2).scatter_add_(1, index, basis).tolist() == [[1 - edge, edge]]


@pytest.mark.parametrize("aggregation", ["median", "", "MEAN"])
def test_an_unknown_aggregation_is_refused(aggregation: str) -> None:
    with pytest.raises(SettingError, match=f"^unknown aggregation '{aggregation}'; valid are: add, max, mean$"):
        SplineConvolution(3, 2, [2], aggregation=aggregation)


@pytest.mark.parametrize("degree", [0, 4, -1])
def test_an_unknown_degree_is_refused(degree: int) -> None:
    layer = SplineConvolution(3, 2, [5], degree=degree)
    with pytest.raises(SettingError, match=f"^spline degree {degree} is not supported; choose 1, 2 or 3$"):
        layer(torch.ones(2, 3), torch.tensor([[0], [1]]), torch.tensor([[0.5]]))
