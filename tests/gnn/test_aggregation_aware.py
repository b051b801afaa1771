"""What holds of aggregation-aware quantization whatever the numbers are."""

import copy
import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from gnn.determinism import deterministic
from gnn.errors import SettingError
from gnn.quantization.aggregation_aware import (
    groups_by_degree,
    naive_groups,
    nearest_group,
    quantize_channels,
    quantize_nodes,
)
from gnn.quantization.learned_quantizer import ChannelQuantizer, NodeQuantizer

# On this grid every distance and its square are exact in float32, so that ties are ties.
SIXTEENTHS = st.integers(-64, 64).map(lambda number: number / 16)


def by_search(x: Tensor, step_size: Tensor, bit_width: Tensor) -> Tensor:
    """The equation word for word, in a nodes x groups matrix."""
    level = 2 ** (bit_width.abs().round() - 1) * step_size.abs()
    return (x.abs().amax(1, keepdim=True) - level.T).square().argmin(1)


def column(numbers: list[float]) -> Tensor:
    return torch.tensor(numbers).reshape(-1, 1)


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.tuples(SIXTEENTHS, st.sampled_from([2.0, 2.5, 3.5, -3.0, 8.0])), min_size=1, max_size=12),
    st.lists(SIXTEENTHS, min_size=1, max_size=12),
)
def test_nearest_group_is_the_first_of_the_nearest(groups: list[tuple[float, float]], nodes: list[float]) -> None:
    step_size, bit_width = (column(list(numbers)) for numbers in zip(*groups, strict=True))
    x = column(nodes)
    assert nearest_group(x, step_size, bit_width).tolist() == by_search(x, step_size, bit_width).tolist()


def test_nearest_group_of_random_nodes() -> None:
    x, step_size, bit_width = torch.randn(300, 5), torch.randn(200, 1), torch.rand(200, 1) * 6 + 2
    assert torch.equal(nearest_group(x, step_size, bit_width), by_search(x, step_size, bit_width))


def test_groups_by_degree_search_only_their_part() -> None:
    # Every part has a group that fits the nodes exactly, and the first of all would win in one search.
    step_size = torch.full((120, 1), 1.0)
    step_size[[7, 50, 110]] = 0.25
    degree = torch.tensor([0, 1, 2, 4, 5, 9])
    group = groups_by_degree(degree, torch.ones(6, 3) * 2, step_size, torch.full((120, 1), 4.0))
    assert group.tolist() == [110, 110, 50, 50, 7, 7]
    with pytest.raises(SettingError, match=r"^100 groups leave none for nodes of low degree; give 101 or more$"):
        groups_by_degree(degree, torch.ones(6, 3), step_size[:100], step_size[:100])


def test_naive_groups_share_the_last_one() -> None:
    assert naive_groups(torch.tensor([0, 3, 4, 5, 99]), 5).tolist() == [0, 3, 4, 4, 4]


@pytest.mark.parametrize("grad", [True, False], ids=["training", "no_grad"])
def test_halves_round_away_from_zero_and_widths_to_even(grad: bool) -> None:
    x = torch.tensor([[0.5, -0.5, 1.5, -2.5, 0.49, 100.0, -100.0]]) * 0.25
    with torch.set_grad_enabled(grad):
        of_channel = [
            quantize_channels(x, torch.tensor([[0.25]]), torch.tensor([[bits]]), local_gradient=False) / 0.25
            for bits in (3.5, 4.5, 2.0, 1.0, 0.3)
        ]
    # 3.5 and 4.5 bits both are 4, with codes up to 7; 2 bits have codes up to 1, and 1 bit and less have none but 0.
    assert of_channel[0].tolist() == of_channel[1].tolist() == [[1, -1, 2, -3, 0, 7, -7]]
    assert of_channel[2].tolist() == [[1, -1, 1, -1, 0, 1, -1]]
    assert of_channel[3].tolist() == of_channel[4].tolist() == [[0] * 7]


def test_a_step_size_of_zero_gives_zero() -> None:
    x, step_size = torch.tensor([[0.0, 1.0, -1.0]]), torch.zeros(1, 1, requires_grad=True)
    output = quantize_channels(x, step_size, torch.full((1, 1), 4.0), local_gradient=False)
    torch.testing.assert_close(output.detach(), torch.zeros(1, 3))
    output.sum().backward()
    assert step_size.grad is not None
    assert step_size.grad.isfinite().all()


def test_a_value_at_the_limit_is_inside() -> None:
    """In float32, 7 * step / step is above 7 for one step size in ten, but the value is still one of the grid."""
    step_size = torch.tensor([[1.1428579092025757]], requires_grad=True)
    bit_width = torch.tensor([[4.0]], requires_grad=True)
    x = (step_size * 7).detach()
    assert (x / step_size).item() > 7
    for output in (
        quantize_channels(x, step_size, bit_width, local_gradient=False),
        quantize_nodes(x, step_size, bit_width, torch.zeros(1, dtype=torch.int64)),
    ):
        of_bit, of_step = torch.autograd.grad(output, (bit_width, step_size))
        assert of_bit.item() == 0
        assert abs(of_step.item()) < 1e-6


def test_the_groups_of_quantize_nodes_get_the_sum_over_their_nodes() -> None:
    x = torch.randn(40, 6)
    group = torch.arange(40) % 3
    step_size, bit_width = torch.full((5, 1), 0.1, requires_grad=True), torch.full((5, 1), 4.0, requires_grad=True)
    quantize_nodes(x, step_size, bit_width, group).backward(torch.ones(40, 6))
    rows = torch.full((40, 1), 0.1, requires_grad=True), torch.full((40, 1), 4.0, requires_grad=True)
    quantize_channels(x, *rows, local_gradient=False).backward(torch.ones(40, 6))
    for of_group, of_row in zip((step_size.grad, bit_width.grad), (rows[0].grad, rows[1].grad), strict=True):
        assert of_group is not None
        assert of_row is not None
        torch.testing.assert_close(of_group, torch.zeros(5, 1).index_add(0, group, of_row))
        assert (of_group[:3] != 0).all()


def test_one_bit_of_a_node_still_learns_its_width() -> None:
    """Both functions give zeros at 1 bit; only that of the nodes sends the width a gradient, as the authors' do."""
    x, step_size = torch.tensor([[2.0, 1.0, -0.5]]), torch.tensor([[0.5]])
    bit_width = torch.tensor([[1.2]], requires_grad=True)
    quantize_nodes(x, step_size, bit_width, torch.zeros(1, dtype=torch.int64)).sum().backward()
    assert bit_width.grad is not None
    assert math.isclose(bit_width.grad.item(), 0.5 * math.log(2), rel_tol=1e-6)


def weight_quantizer() -> tuple[nn.Module, Tensor]:
    return ChannelQuantizer(6, 4, local_gradient=False, axis=0), torch.randn(6, 4, 3)


def feature_quantizer() -> tuple[nn.Module, Tensor]:
    return ChannelQuantizer(6, 5, local_gradient=True, axis=1), torch.randn(50, 6)


def node_quantizer() -> tuple[nn.Module, Tensor]:
    return NodeQuantizer(30, 3, 0.2, 0.2), torch.randn(50, 6)


@pytest.mark.parametrize("build", [weight_quantizer, feature_quantizer, node_quantizer])
def test_codes_times_scale_is_the_forward(build: Callable[[], tuple[nn.Module, Tensor]]) -> None:
    quantizer, x = build()
    held = quantizer.codes(x)  # pyright: ignore[reportCallIssue]
    codes, scale = held.codes, held.scale
    output = quantizer(x)
    assert output.requires_grad
    assert not codes.requires_grad
    assert not scale.requires_grad
    assert codes.shape == x.shape
    assert scale.numel() == (50 if isinstance(quantizer, NodeQuantizer) else 6)
    assert torch.equal(codes * scale, output)
    assert torch.equal(codes, codes.round())
    assert codes.unique().numel() > 3
    with torch.no_grad():
        assert torch.equal(quantizer(x), output)


@pytest.mark.parametrize("build", [weight_quantizer, feature_quantizer, node_quantizer])
@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_infinite_values_are_refused(build: Callable[[], tuple[nn.Module, Tensor]], wrong: float) -> None:
    quantizer, x = build()
    x.view(-1)[5] = wrong
    sentence = f"^1 of the {x.numel()} values to quantize are NaN or infinite; scale the input or lower the learning"
    for quantize in (quantizer, quantizer.codes):
        with pytest.raises(SettingError, match=sentence):
            quantize(x)  # pyright: ignore[reportCallIssue]
    with pytest.raises(SettingError, match=sentence):
        quantize_nodes(x, torch.ones(1, 1), torch.ones(1, 1), torch.zeros(len(x), dtype=torch.int64))


def test_a_sum_that_overflows_is_no_infinite_value() -> None:
    x = torch.full((2, 4), 3e38)
    output = quantize_channels(x, torch.ones(2, 1), torch.full((2, 1), 4.0), local_gradient=False)
    assert output.tolist() == [[7.0] * 4] * 2


@pytest.mark.parametrize("bit_width", [1, 9, -4])
def test_bit_widths_outside_2_to_8_are_refused(bit_width: int) -> None:
    sentence = f"^bit_width {bit_width} is outside 2 to 8; give a whole number of bits, such as 8$"
    with pytest.raises(SettingError, match=sentence):
        ChannelQuantizer(3, bit_width, local_gradient=False, axis=0)
    with pytest.raises(SettingError, match=sentence):
        NodeQuantizer(3, bit_width, 0.1, 0.1)


def test_parameters_start_as_the_paper_says() -> None:
    quantizer = ChannelQuantizer(20_000, 6, local_gradient=False, axis=0)
    assert (quantizer.step_size >= 0).all()
    # |N(0.01, 0.1)| has mean 0.0802; its second moment is 0.01^2 + 0.1^2.
    assert math.isclose(quantizer.step_size.mean().item(), 0.0802, abs_tol=2e-3)
    assert math.isclose(quantizer.step_size.square().mean().item(), 0.0101, abs_tol=5e-4)
    assert quantizer.bit.unique().tolist() == [6.0]
    nodes = NodeQuantizer(20_000, 3, -2.0, 0.1)
    assert math.isclose(nodes.step_size.mean().item(), 2.0, abs_tol=2e-3)
    assert {name: tuple(p.shape) for name, p in nodes.named_parameters()} == {
        "step_size": (20_000, 1),
        "bit": (20_000, 1),
    }


def test_memory_counts_every_used_group_once() -> None:
    quantizer = NodeQuantizer(3, 4, 0.1, 0.1)
    assert quantizer.memory_kb.item() == 0
    quantizer.load_state_dict({"step_size": column([0.1, 1.0, 10.0]), "bit": column([4.2, 5.0, 6.0])})
    quantizer(torch.tensor([[0.1, 0.5], [0.9, -0.7], [150.0, 0.0]]))
    assert quantizer.last_group.tolist() == [0, 0, 1] or quantizer.last_group.tolist() == [0, 0, 2]
    other = quantizer.bit[quantizer.last_group[2], 0].item()
    assert math.isclose(quantizer.memory_kb.item(), 2 * (4.2 + other) / 8 / 1024, rel_tol=1e-6)
    # A model that has just been trained can still be copied.
    assert copy.deepcopy(quantizer).memory_kb.item() == quantizer.memory_kb.item()


def test_training_is_deterministic_and_learns_steps_and_widths() -> None:
    def train() -> list[Tensor]:
        with deterministic(0):
            quantizer, x = NodeQuantizer(40, 4, 0.1, 0.1), torch.randn(200, 8)
            optimizer = torch.optim.Adam(quantizer.parameters(), lr=0.01)
            errors = []
            for _ in range(30):
                optimizer.zero_grad()
                error = (quantizer(x) - x).square().mean()
                (error + 1e-3 * quantizer.memory_kb).backward()
                optimizer.step()
                errors.append(error.detach())
        return [*errors, quantizer.step_size.detach(), quantizer.bit.detach()]

    first, second = train(), train()
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert first[29] < 0.8 * first[0]
    assert (first[-1] != 4).any()
