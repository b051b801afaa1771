"""Preconditioned gradients are G^-1 grad A^-1, written out densely; nothing else about training changes."""

import itertools
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gnn.errors import SettingError
from gnn.layers import CsrMatrix, GraphConvolution
from gnn.models import GraphModel, build_model_for
from gnn.preconditioning import KroneckerPreconditioner, preconditioning
from gnn.tasks import NodeClassification
from gnn.training import fit
from gnn.training_settings import KroneckerPreconditioning, TrainingSettings
from tests.gnn.citation_checks import new_model

NODES = 9
EDGES = torch.tensor([[0, 1, 2, 3, 4, 4, 6], [1, 0, 1, 4, 5, 4, 0]])
SETTINGS = KroneckerPreconditioning(damping=0.04, update_every=1)
TRAINING = TrainingSettings(0.02, 1e-3, epochs=12, patience=12)


class Net(nn.Module):
    """One or two graph convolutions in double precision."""

    def __init__(self, *widths: int, bias: bool = True) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            layers = [GraphConvolution(a, b, bias=bias) for a, b in itertools.pairwise(widths)]
        self.layers = nn.ModuleList(layers).double()
        self.adjacency = torch.zeros(NODES, NODES).index_put((EDGES[1], EDGES[0]), torch.ones(1)).double() / 2

    def forward(self, x: Tensor | CsrMatrix) -> Tensor:
        matrix = _sparse(self.adjacency)
        for layer in self.layers:
            x = layer(x, matrix)
        assert isinstance(x, Tensor)
        return x


def _sparse(dense: Tensor) -> CsrMatrix:
    row, column = dense.nonzero().unbind(1)
    return CsrMatrix.from_coordinates(row, column, dense[row, column], (dense.shape[0], dense.shape[1]))


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def backward(net: Net, x: Tensor | CsrMatrix, of_output: Tensor) -> dict[str, Tensor]:
    """Leave gradients on the parameters and return what they are before anybody changes them."""
    net.zero_grad()
    (net(x) * of_output).sum().backward()
    return {name: p.grad.clone() for name, p in net.named_parameters() if p.grad is not None}


def explicit(
    aggregated: Tensor, of_output: Tensor, weight: Tensor, bias: Tensor, damping: float
) -> tuple[Tensor, Tensor]:
    """G^-1 [grad_W grad_b] A^-1 as sums over nodes."""
    rows = torch.cat([aggregated, torch.ones(NODES, 1, dtype=torch.float64)], dim=1)
    a = sum((torch.outer(row, row) for row in rows), torch.zeros(())) / NODES
    g = sum((torch.outer(row, row) for row in of_output), torch.zeros(())) * NODES
    a = a + damping**0.5 * torch.eye(len(a), dtype=torch.float64)
    g = g + damping**0.5 * torch.eye(len(g), dtype=torch.float64)
    out = torch.linalg.inv(g) @ torch.cat([weight, bias[:, None]], dim=1) @ torch.linalg.inv(a)
    return out[:, :-1], out[:, -1]


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("damping", [1e-3, 0.04, 10.0])
def test_the_gradient_is_multiplied_by_both_inverse_factors(sparse: bool, damping: float) -> None:
    net, x, of_output = Net(4, 3), draw(1, NODES, 4), draw(2, NODES, 3)
    preconditioner = KroneckerPreconditioner(net, replace(SETTINGS, damping=damping))
    before = backward(net, _sparse(x) if sparse else x, of_output)
    weight, bias = explicit(
        net.adjacency @ x, of_output, before["layers.0.lin.weight"], before["layers.0.bias"], damping
    )
    preconditioner.precondition()
    torch.testing.assert_close(net.get_parameter("layers.0.lin.weight").grad, weight)
    torch.testing.assert_close(net.get_parameter("layers.0.bias").grad, bias)


def test_each_layer_has_its_own_inputs_and_gradients() -> None:
    net, x, of_output = Net(4, 3, 2), draw(1, NODES, 4), draw(2, NODES, 2)
    preconditioner = KroneckerPreconditioner(net, SETTINGS)
    before = backward(net, x, of_output)
    hidden = net.layers[0](x, _sparse(net.adjacency)).detach()
    of_hidden = net.adjacency.t() @ of_output @ net.get_parameter("layers.1.lin.weight").detach()
    preconditioner.precondition()
    for layer, aggregated, gradient in (
        (0, net.adjacency @ x, of_hidden),
        (1, net.adjacency @ hidden, of_output),
    ):
        weight, bias = (before[f"layers.{layer}.{name}"] for name in ("lin.weight", "bias"))
        weight, bias = explicit(aggregated, gradient, weight, bias, SETTINGS.damping)
        torch.testing.assert_close(net.get_parameter(f"layers.{layer}.lin.weight").grad, weight)
        torch.testing.assert_close(net.get_parameter(f"layers.{layer}.bias").grad, bias)


def test_a_layer_without_a_bias() -> None:
    net, x, of_output = Net(4, 3, bias=False), draw(1, NODES, 4), draw(2, NODES, 3)
    preconditioner = KroneckerPreconditioner(net, SETTINGS)
    before = backward(net, x, of_output)["layers.0.lin.weight"]
    preconditioner.precondition()
    aggregated, identity = net.adjacency @ x, torch.eye(4, dtype=torch.float64)
    a = aggregated.t() @ aggregated / NODES + 0.2 * identity
    g = of_output.t() @ of_output * NODES + 0.2 * identity[:3, :3]
    expected = torch.linalg.inv(g) @ before @ torch.linalg.inv(a)
    torch.testing.assert_close(net.get_parameter("layers.0.lin.weight").grad, expected)


def test_factors_are_renewed_every_few_steps() -> None:
    net = Net(4, 3)
    preconditioner = KroneckerPreconditioner(net, replace(SETTINGS, update_every=2))
    seen = []
    for step in range(4):
        backward(net, draw(step, NODES, 4), draw(10 + step, NODES, 3))
        preconditioner.precondition()
        assert preconditioner.layers[0].inverses is not None
        seen.append(preconditioner.layers[0].inverses[1].clone())
    of_gradients = [draw(10 + step, NODES, 3) for step in range(4)]
    damping = 0.2 * torch.eye(3, dtype=torch.float64)
    expected = [torch.linalg.inv(g.t() @ g * NODES + damping) for g in of_gradients]
    torch.testing.assert_close(seen[0], expected[0])
    assert torch.equal(seen[1], seen[0])
    torch.testing.assert_close(seen[2], expected[2])
    assert torch.equal(seen[3], seen[2])


def test_much_damping_leaves_the_direction_of_the_gradient() -> None:
    net = Net(4, 3)
    preconditioner = KroneckerPreconditioner(net, replace(SETTINGS, damping=1e16))
    before = backward(net, draw(1, NODES, 4), draw(2, NODES, 3))["layers.0.lin.weight"]
    preconditioner.precondition()
    torch.testing.assert_close(net.get_parameter("layers.0.lin.weight").grad, before / 1e16, rtol=1e-4, atol=0)


def test_a_pass_without_gradients_is_not_watched() -> None:
    net, x = Net(4, 3), draw(1, NODES, 4)
    preconditioner = KroneckerPreconditioner(net, SETTINGS)
    before = backward(net, x, draw(2, NODES, 3))
    with torch.no_grad():
        net(100 * x)
    preconditioner.precondition()
    weight, bias = before["layers.0.lin.weight"], before["layers.0.bias"]
    expected, _ = explicit(net.adjacency @ x, draw(2, NODES, 3), weight, bias, SETTINGS.damping)
    torch.testing.assert_close(net.get_parameter("layers.0.lin.weight").grad, expected)


def state(model: GraphModel) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in model.state_dict().values()])


def fitted(task: NodeClassification, settings: TrainingSettings) -> GraphModel:
    model = new_model("ssp", task)
    fit(model, task, settings, seed=0)
    return model


def test_training_uses_it_repeats_and_leaves_no_hook(small_task: NodeClassification) -> None:
    settings = replace(TRAINING, preconditioner=SETTINGS)
    model = fitted(small_task, settings)
    assert torch.equal(state(model), state(fitted(small_task, settings)))
    assert not torch.allclose(state(model), state(fitted(small_task, TRAINING)), atol=1e-3)
    assert not any(module._forward_hooks for module in model.modules())


def test_a_context_without_settings_does_nothing(small_task: NodeClassification) -> None:
    model = build_model_for("spline", small_task)
    with preconditioning(model, None) as precondition:
        precondition()
    assert not any(module._forward_hooks for module in model.modules())


def test_a_model_without_graph_convolutions_is_refused(small_task: NodeClassification) -> None:
    with pytest.raises(SettingError, match="SplineNet has no GraphConvolution to precondition"):
        fit(build_model_for("spline", small_task), small_task, replace(TRAINING, preconditioner=SETTINGS), seed=0)


@pytest.mark.parametrize(
    "change",
    [
        {"damping": 0.0},
        {"damping": float("inf")},
        {"damping": float("nan")},
        {"update_every": 0},
    ],
)
def test_settings_out_of_range_are_refused(change: dict[str, Any]) -> None:
    (name, value) = next(iter(change.items()))
    with pytest.raises(SettingError, match=rf"{name} {value}\b"):
        KroneckerPreconditioning(**change)
