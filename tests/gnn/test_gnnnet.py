"""GNNNet is three graph convolutions, a maximum and a linear layer."""

from dataclasses import replace
from itertools import combinations

import pytest
import torch

from gnn.layers.readout import max_readout, mean_matrix
from gnn.models.gnnnet import GnnNet, GnnNetSettings
from tests.gnn.random_graphs import random_task

PAPER_COUNT = 34_530


def test_size_is_that_of_the_paper_but_for_32() -> None:
    model = GnnNet(GnnNetSettings(in_channels=9, out_channels=2))
    sizes = [parameter.numel() for parameter in model.parameters()]
    assert sum(sizes) == PAPER_COUNT + 32
    left_out = {sum(some) for count in range(len(sizes)) for some in combinations(sizes, count)}
    assert 32 not in left_out


def test_names_are_those_of_the_paper() -> None:
    names = set(GnnNet(GnnNetSettings(9, 2)).state_dict())
    layers = {f"gnn_layers.{number}.{name}" for number in range(3) for name in ("lin.weight", "bias")}
    assert names == layers | {"mlps.0.weight", "mlps.0.bias"}


def test_settings_fit_the_task() -> None:
    settings = GnnNetSettings.for_task(random_task(channels=9))
    assert settings.widths == [(9, 128), (128, 128), (128, 128)]
    assert settings.out_channels == 2


def test_max_readout_is_the_maximum_of_each_graph_and_zero_for_an_empty_one() -> None:
    features = torch.tensor([[-1.0, 5.0], [-3.0, 2.0], [-4.0, -4.0]])
    largest = max_readout(features, torch.tensor([0, 0, 2]), 3)
    assert largest.tolist() == [[-1.0, 5.0], [0.0, 0.0], [-4.0, -4.0]]


def test_nodes_that_share_the_maximum_share_its_gradient() -> None:
    features = torch.tensor([[1.0, 0.0], [1.0, 2.0], [0.0, 1.0], [5.0, 5.0]], requires_grad=True)
    largest = max_readout(features, torch.tensor([0, 0, 0, 1]), 2)
    largest.backward(torch.tensor([[4.0, 8.0], [1.0, 2.0]]))
    assert features.grad is not None
    assert features.grad.tolist() == [[2.0, 0.0], [2.0, 8.0], [0.0, 0.0], [1.0, 2.0]]


@pytest.mark.parametrize("seed", range(3))
def test_gradient_of_the_maximum_is_that_of_numerical_differences(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(7, 3, dtype=torch.float64, generator=generator, requires_grad=True)
    graph_of_node = torch.tensor([0, 0, 0, 1, 3, 3, 3])
    assert torch.autograd.gradcheck(lambda values: max_readout(values, graph_of_node, 4), (features,))


def test_the_transposition_of_a_mean_is_what_sorting_finds() -> None:
    matrix = mean_matrix(torch.tensor([0, 2, 2, 5]))
    assert all(map(torch.equal, matrix.transposition, replace(matrix).transposition))


def test_mean_matrix_takes_the_mean_of_each_graph_and_leaves_an_empty_one_at_zero() -> None:
    matrix = mean_matrix(torch.tensor([0, 2, 2, 5]))
    mean = matrix @ torch.tensor([[1.0, 2.0], [3.0, 4.0], [3.0, 0.0], [6.0, 0.0], [0.0, 3.0]])
    torch.testing.assert_close(mean, torch.tensor([[2.0, 3.0], [0.0, 0.0], [3.0, 1.0]]))
