"""Grids hold zero, rounding adds the zero point first, and gradients pass as they are told to."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gnn.errors import SettingError
from gnn.quantization.fake_quantize import (
    SMALLEST_SCALE,
    Grid,
    fake_quantize,
    require_bit_width,
    require_gradient,
)

PROPERTY = settings(deadline=None, max_examples=100, derandomize=True)
ENDS = st.floats(-1e4, 1e4, width=32)
BITS = st.integers(2, 8)


@st.composite
def grids(draw: st.DrawFn) -> tuple[Grid, float, float]:
    """A grid over a range, and the range widened to hold zero."""
    low, high = sorted((draw(ENDS), draw(ENDS)))
    grid = Grid.of_range(low, high, draw(BITS), signed=draw(st.booleans()))
    return grid, min(low, 0.0), max(high, 0.0)


def of_grid(grid: Grid) -> Tensor:
    """All numbers of a grid, one a row."""
    return grid.values(torch.arange(grid.lowest, grid.highest + 1))[:, None]


@PROPERTY
@given(grids())
def test_zero_is_a_number_of_every_grid(case: tuple[Grid, float, float]) -> None:
    grid, _, _ = case
    assert grid.zero_point == round(grid.zero_point)
    assert grid.lowest <= grid.zero_point <= grid.highest
    zeros = torch.tensor([[0.0, -0.0]])
    assert fake_quantize(zeros, grid).tolist() == [[0.0, 0.0]]
    assert grid.codes(zeros).tolist() == [[grid.zero_point] * 2]


@PROPERTY
@given(grids(), st.integers(0, 2**31))
def test_numbers_in_the_range_move_by_half_a_step_at_most(case: tuple[Grid, float, float], seed: int) -> None:
    grid, low, high = case
    generator = torch.Generator().manual_seed(seed)
    inside = low + (high - low) * torch.rand(50, 1, generator=generator, dtype=torch.float64)
    values = torch.cat([inside, torch.tensor([[low], [high]], dtype=torch.float64)]).float()
    moved = (fake_quantize(values, grid).double() - values.double()).abs()
    # FP32 places a number on the grid with an error of its own.
    assert float(moved.max()) <= 0.5 * grid.scale * (1 + 1e-4) + 1e-6 * max(-low, high)


@PROPERTY
@given(grids(), st.integers(0, 2**31))
def test_quantizing_again_changes_nothing(case: tuple[Grid, float, float], seed: int) -> None:
    grid, low, high = case
    generator = torch.Generator().manual_seed(seed)
    values = 1.5 * max(-low, high) * torch.randn(60, 1, generator=generator)
    once = fake_quantize(values, grid)
    assert torch.equal(fake_quantize(once, grid), once)
    assert torch.isin(once, of_grid(grid)).all()


@PROPERTY
@given(grids())
def test_the_ends_are_the_lowest_and_the_highest_number(case: tuple[Grid, float, float]) -> None:
    grid, low, high = case
    numbers = of_grid(grid)
    assert grid.ends == (float(numbers.min()), float(numbers.max()))
    beyond = torch.tensor([[2 * low - 1e5], [2 * high + 1e5]])
    assert fake_quantize(beyond, grid).flatten().tolist() == list(grid.ends)


@PROPERTY
@given(grids())
def test_the_range_has_as_many_steps_as_there_are_codes(case: tuple[Grid, float, float]) -> None:
    grid, low, high = case
    steps = grid.highest - grid.lowest
    assert steps + 1 in {4, 8, 16, 32, 64, 128, 256}
    assert grid.lowest in {0, -(steps + 1) / 2}
    expected = max((high - low) / steps, SMALLEST_SCALE) if low < high else 1.0
    assert grid.scale == pytest.approx(expected, rel=1e-12)


def test_a_range_of_nothing_but_zero_has_the_scale_1() -> None:
    for low, high in ((0.0, 0.0), (-0.0, 0.0)):
        assert Grid.of_range(low, high, 8) == Grid(1.0, 0.0, -128.0, 127.0)
        assert Grid.symmetric(low, high, 8) == Grid(1.0, 0.0, -128.0, 127.0)


@pytest.mark.parametrize(
    ("low", "high", "signed", "grid"),
    [
        (-1.0, 2.0, True, Grid(0.2, -3.0, -8.0, 7.0)),
        (-1.0, 2.0, False, Grid(0.2, 5.0, 0.0, 15.0)),
        (1.0, 3.0, False, Grid(0.2, 0.0, 0.0, 15.0)),
        (1.0, 3.0, True, Grid(0.2, -8.0, -8.0, 7.0)),
        (-3.0, -1.0, True, Grid(0.2, 7.0, -8.0, 7.0)),
    ],
)
def test_grids_of_four_bits(low: float, high: float, signed: bool, grid: Grid) -> None:
    found = Grid.of_range(low, high, 4, signed=signed)
    assert found.scale == pytest.approx(grid.scale)
    assert (found.zero_point, found.lowest, found.highest) == (grid.zero_point, grid.lowest, grid.highest)


@PROPERTY
@given(ENDS, ENDS, BITS)
def test_a_symmetric_grid_has_zero_in_its_middle(one: float, other: float, bits: int) -> None:
    grid, largest = Grid.symmetric(one, other, bits), max(abs(one), abs(other))
    assert (grid.zero_point, grid.lowest, grid.highest) == (0.0, -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    assert grid.scale == (pytest.approx(2 * largest / (2**bits - 1)) if largest else 1.0)
    inner = of_grid(grid)[1:]
    assert torch.equal(inner, -inner.flip(0))


def test_the_zero_point_is_added_before_rounding() -> None:
    grid = Grid(scale=0.5, zero_point=1.0, lowest=-8.0, highest=7.0)
    # 0.25 is half a step: round(0.5 + 1) is 2, the code of one step, but round(0.5) + 1 is 1, the code of zero.
    values = torch.tensor([[0.25, 0.75, -0.25, -0.75]])
    assert fake_quantize(values, grid).tolist() == [[0.5, 0.5, -0.5, -0.5]]
    assert (torch.round(values / 0.5) * 0.5).tolist() == [[0.0, 1.0, -0.0, -1.0]]


def gradient_of(values: list[float], gradient: str, kept: list[int] | None = None) -> tuple[list[float], list[float]]:
    """What becomes of numbers, one a row, and the gradient of each; the incoming gradients are 1, 2, 3 ..."""
    grid = Grid(scale=1.0, zero_point=0.0, lowest=-2.0, highest=1.0)
    x = torch.tensor(values)[:, None].requires_grad_()
    kept_rows = None if kept is None else torch.tensor(kept, dtype=torch.int64)
    out = fake_quantize(x, grid, gradient, kept_rows)  # pyright: ignore[reportArgumentType]
    (of_x,) = torch.autograd.grad(out, x, torch.arange(1.0, len(values) + 1)[:, None])
    return out.flatten().tolist(), of_x.flatten().tolist()


VALUES = [-5.0, -1.6, -1.4, 0.0, 0.4, 0.6, 9.0]
ON_GRID = [-2.0, -2.0, -1.0, 0.0, 0.0, 1.0, 1.0]


def test_a_straight_gradient_passes_everywhere() -> None:
    assert gradient_of(VALUES, "straight-through") == (ON_GRID, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])


def test_a_clipped_gradient_is_zero_at_and_beyond_the_first_and_the_last_code() -> None:
    assert gradient_of(VALUES, "gradient-clipping") == (ON_GRID, [0.0, 0.0, 3.0, 4.0, 5.0, 0.0, 0.0])


@PROPERTY
@given(grids(), st.integers(0, 2**31))
def test_a_clipped_gradient_is_that_of_the_inner_codes(case: tuple[Grid, float, float], seed: int) -> None:
    grid, low, high = case
    generator = torch.Generator().manual_seed(seed)
    x = (max(-low, high) * torch.randn(60, 1, generator=generator)).requires_grad_()
    (of_x,) = torch.autograd.grad(fake_quantize(x, grid, "gradient-clipping"), x, torch.full((60, 1), 3.0))
    codes = grid.codes(x.detach())
    inner = (codes > grid.lowest) & (codes < grid.highest)
    assert torch.equal(of_x, 3.0 * inner)


@pytest.mark.parametrize("gradient", ["straight-through", "gradient-clipping"])
def test_kept_rows_stay_and_keep_their_gradient(gradient: str) -> None:
    out, of_x = gradient_of(VALUES, gradient, kept=[6, 0, 2])
    assert out == torch.tensor([-5.0, -2.0, -1.4, 0.0, 0.0, 1.0, 9.0]).tolist()
    ends = [2.0, 6.0] if gradient == "straight-through" else [0.0, 0.0]
    assert of_x == [1.0, ends[0], 3.0, 4.0, 5.0, ends[1], 7.0]
    assert gradient_of(VALUES, gradient, kept=[]) == gradient_of(VALUES, gradient)


def test_the_values_themselves_are_left_alone() -> None:
    values = torch.randn(20, 3)
    before = values.clone()
    grid = Grid.of_range(-1.0, 1.0, 4)
    fake_quantize(values, grid, kept_rows=torch.tensor([3]))
    grid.codes(values)
    assert torch.equal(values, before)


@pytest.mark.parametrize("wrong", [1, 9, 0, -8, 3.5, 8.0, True, "8", None])
def test_a_bit_width_that_integers_have_no_room_for_is_refused(wrong: object) -> None:
    with pytest.raises(SettingError) as caught:
        require_bit_width(wrong)
    assert str(caught.value) == f"bit_width {wrong!r} is outside 2 to 8; give a whole number of bits, such as 8"


def test_all_other_bit_widths_are_fine() -> None:
    for bits in range(2, 9):
        require_bit_width(bits)


@pytest.mark.parametrize("wrong", ["straight", "", None, 1])
def test_an_unknown_gradient_is_refused(wrong: object) -> None:
    with pytest.raises(SettingError) as caught:
        require_gradient(wrong)
    assert str(caught.value) == f"gradient {wrong!r} is unknown; valid are: gradient-clipping, straight-through"


@pytest.mark.parametrize(
    ("low", "high"),
    [
        (math.inf, -math.inf),
        (1.0, -1.0),
        (math.nan, 1.0),
        (0.0, math.nan),
        (0.0, math.inf),
        (-math.inf, 0.0),
    ],
)
def test_a_range_that_is_empty_or_not_finite_is_refused(low: float, high: float) -> None:
    with pytest.raises(SettingError) as caught:
        Grid.of_range(low, high, 8)
    assert str(caught.value) == f"the range {low:g} to {high:g} holds no numbers; show the quantizer some first"
