"""GNNNet is three graph convolutions, a maximum and a linear layer."""

from itertools import combinations

import pytest
import torch
from torch.nn import functional

from gnn.layers.readout import max_readout, mean_matrix
from gnn.models.gnnnet import GnnNet, GnnNetSettings
from tests.gnn.random_graphs import batch_of, random_task

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


def test_logits_are_the_equation_graph_by_graph() -> None:
    torch.manual_seed(0)
    sizes = [5, 1, 7]
    batch = batch_of(sizes)
    model = GnnNet(GnnNetSettings(4, 2, hidden_channels=8)).eval()
    adjacency = torch.zeros(sum(sizes), sum(sizes))
    for source, target in batch.edge_index.t().tolist():
        adjacency[target, source] += source != target
    adjacency += torch.eye(sum(sizes))
    scale = adjacency.sum(1).rsqrt()
    hidden = batch.features
    for layer in model.gnn_layers:
        torch.nn.init.normal_(layer.bias)  # pyright: ignore[reportArgumentType]
        projected = hidden @ layer.lin.weight.t()  # pyright: ignore
        hidden = functional.elu(scale[:, None] * adjacency * scale @ projected + layer.bias)  # pyright: ignore
    expected = torch.stack([model.mlps[0](nodes.amax(0)) for nodes in hidden.split(sizes)])
    torch.testing.assert_close(model(batch), expected, rtol=1e-5, atol=1e-5)


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


def test_mean_matrix_takes_the_mean_of_each_graph_and_leaves_an_empty_one_at_zero() -> None:
    matrix = mean_matrix(torch.tensor([0, 2, 2, 5]))
    mean = matrix @ torch.tensor([[1.0, 2.0], [3.0, 4.0], [3.0, 0.0], [6.0, 0.0], [0.0, 3.0]])
    torch.testing.assert_close(mean, torch.tensor([[2.0, 3.0], [0.0, 0.0], [3.0, 1.0]]))


def test_dropout_is_drawn_only_where_it_is_set_and_only_in_training_mode() -> None:
    torch.manual_seed(0)
    batch = batch_of([5, 6])
    dropping, plain = (GnnNet(GnnNetSettings(4, 2, dropout=dropout)) for dropout in (0.5, 0.0))
    assert not torch.equal(dropping(batch), dropping(batch))
    assert torch.equal(plain(batch), plain(batch))
    dropping.eval()
    assert torch.equal(dropping(batch), dropping(batch))
