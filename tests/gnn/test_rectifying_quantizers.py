"""A quantizer that takes over the ReLU after it gives the same bits as both, forwards and backwards."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from gnn.determinism import deterministic
from gnn.models import GraphModel
from gnn.quantization.channel_scheme import ChannelScheme
from gnn.quantization.degree_protection import DegreeProtection
from gnn.quantization.fake_quantize import Gradient, Grid, fake_quantize
from gnn.quantization.quantized_model import quantize_model
from gnn.quantization.range_scheme import RangeScheme
from gnn.quantization.scheme import Scheme, Site
from gnn.quantization.tensor_quantizer import TensorQuantizer, TensorQuantizerSettings
from tests.gnn.random_graphs import random_task
from tests.gnn.toy_quantization import initial_model

GRADIENTS: tuple[Gradient, ...] = ("straight-through", "gradient-clipping")
ENDS = st.floats(-1e4, 1e4, width=32)


@settings(deadline=None, max_examples=150, derandomize=True)
@given(ENDS, ENDS, st.integers(2, 8), st.booleans(), st.sampled_from(GRADIENTS), st.integers(0, 2**31))
def test_values_and_gradients_are_those_of_a_relu_after_it(
    one: float, other: float, bits: int, signed: bool, gradient: Gradient, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    grid = Grid.of_range(min(one, other), max(one, other), bits, signed=signed)
    spread = 1.3 * max(abs(one), abs(other), 1e-6)
    random = spread * torch.randn(50, generator=generator)
    on_grid = grid.values(torch.arange(grid.lowest, grid.highest + 1))
    values = torch.cat([random, on_grid, torch.zeros(1), on_grid + 0.5 * grid.scale])[:, None]
    incoming = torch.randn(values.shape, generator=generator)
    found = both(lambda x: fake_quantize(x, grid, gradient, rectify=True), values, incoming)
    expected = both(lambda x: fake_quantize(x, grid, gradient).relu(), values, incoming)
    assert same_bits(found[0], expected[0])
    assert torch.equal(found[1], expected[1])


def both(function: Any, values: Tensor, incoming: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ANN401
    """Outputs and gradients."""
    values = values.clone().requires_grad_()
    out = function(values)
    (gradient,) = torch.autograd.grad(out, values, incoming)
    return out.detach(), gradient


def same_bits(one: Tensor, other: Tensor) -> bool:
    """Whether zeros have the same sign, too."""
    return torch.equal(one.view(torch.int32), other.view(torch.int32))


def test_the_grid_from_zero_on_begins_at_zero() -> None:
    grid = Grid.of_range(-1.0, 3.0, 4)
    assert grid.nonnegative.ends == (0.0, grid.ends[1])
    assert grid.ends[0] < 0
    assert (grid.nonnegative.scale, grid.nonnegative.zero_point) == (grid.scale, grid.zero_point)


def keep_relus(model: GraphModel) -> int:
    """Undo what `quantize_model` did to the ReLUs of a GIN; how many there were."""
    undone = 0
    for layers in model.modules():
        if not isinstance(layers, nn.Sequential):
            continue
        for place, layer in enumerate(layers):
            features = getattr(getattr(layer, "product", None), "features", None)
            if isinstance(features, TensorQuantizer) and features.rectifies:
                features.rectifies = False
                assert type(layers[place + 1]) is nn.Identity
                layers[place + 1] = nn.ReLU()
                undone += 1
    return undone


def quantized_gin(bits: int, gradient: Gradient) -> GraphModel:
    return quantize_model(
        initial_model("gin", random_task()), RangeScheme(TensorQuantizerSettings(bits, gradient)), ("convs.0.nn.0",)
    )


@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize("bits", [8, 4])
def test_a_gin_learns_and_answers_as_one_whose_relus_were_kept(bits: int, gradient: Gradient) -> None:
    task = random_task()
    models = fused, kept = quantized_gin(bits, gradient), quantized_gin(bits, gradient)
    # Five convolutions have two ReLUs each; the one after the layer in FP32 stays.
    assert keep_relus(kept) == 9
    assert isinstance(fused.get_submodule("convs.0.nn.1"), nn.ReLU)
    for model in models:
        with deterministic(0):
            optimizer, inputs = torch.optim.Adam(model.parameters(), lr=0.01), model.prepare(task)
            for _ in range(2):
                for loss in model.losses(task, inputs, 16):
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
    gradients = [{name: parameter.grad for name, parameter in model.named_parameters()} for model in models]
    assert all(gradient is not None for gradient in gradients[0].values())
    assert all(torch.equal(gradients[0][name], gradients[1][name]) for name in gradients[1])  # pyright: ignore
    state, expected = fused.state_dict(), kept.state_dict()
    assert state.keys() == expected.keys()
    assert any(name.endswith("features.minimum") for name in state)
    assert all(torch.equal(state[name], expected[name]) for name in expected)
    with torch.no_grad():
        outputs = [model.eval().outputs(task, model.prepare(task), "test") for model in models]
    assert torch.equal(outputs[0], outputs[1])


class ProtectingScheme(RangeScheme):
    """Protects the rows of all products, as if all were nodes."""

    def for_site(self, site: Site) -> nn.Module:
        return super().for_site(replace(site, of_nodes=True))


SCHEMES: dict[str, tuple[Scheme, int]] = {
    "range": (RangeScheme(TensorQuantizerSettings()), 0),
    "protected": (ProtectingScheme(TensorQuantizerSettings(), DegreeProtection(0.0, 0.1)), 10),
    "channel": (ChannelScheme(TensorQuantizerSettings()), 10),
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_relus_stay_where_the_quantizer_before_them_does_not_clamp_every_row(scheme: str) -> None:
    model = quantize_model(initial_model("gin", random_task()), SCHEMES[scheme][0])
    assert sum(isinstance(module, nn.ReLU) for module in model.modules()) == SCHEMES[scheme][1]
    rectifying = sum(module.rectifies for module in model.modules() if isinstance(module, TensorQuantizer))
    assert rectifying == 10 - SCHEMES[scheme][1]


def test_a_first_batch_without_rows_still_goes_through_the_relu() -> None:
    quantizer, values = TensorQuantizer(TensorQuantizerSettings()), torch.tensor([[-1.0, 2.0]])
    quantizer.rectifies = True
    assert quantizer(torch.zeros(0, 2)).shape == (0, 2)
    assert not quantizer.seen
    # As where no node of the batch sends anything.
    assert quantizer(values, torch.zeros(1, dtype=torch.int64)).tolist() == [[0.0, 2.0]]
    assert not quantizer.seen
    assert quantizer(values)[0, 0].item() == 0
    assert (float(quantizer.minimum), float(quantizer.maximum)) == (-1.0, 2.0)


def test_in_evaluation_it_goes_through_the_relu() -> None:
    quantizer = TensorQuantizer(TensorQuantizerSettings(4))
    values = torch.linspace(-2, 3, 40)[:, None]
    expected = quantizer(values).relu()
    quantizer.rectifies = True
    assert torch.equal(quantizer.eval()(values), expected)
    assert (expected == 0).any()
