"""A quantizer learns its range in training only, and its codes are its outputs."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gnn.errors import SettingError
from gnn.quantization.degree_protection import DegreeProtection
from gnn.quantization.fake_quantize import fake_quantize
from gnn.quantization.tensor_quantizer import TensorQuantizer, TensorQuantizerSettings
from gnn.quantization.value_range import RangeTracking

PROPERTY = settings(deadline=None, max_examples=60, derandomize=True)


def seen(values: Tensor, bits: int = 8, signed: bool | None = None) -> TensorQuantizer:
    """A quantizer in evaluation whose range is that of some values."""
    quantizer = TensorQuantizer(TensorQuantizerSettings(bits, signed=signed))
    quantizer(values)
    return quantizer.eval()


def range_of(quantizer: TensorQuantizer) -> tuple[float, float]:
    return float(quantizer.minimum), float(quantizer.maximum)


def protecting(*nodes: int, count: int) -> DegreeProtection:
    """A protection of these of `count` nodes."""
    protection = DegreeProtection(0.0, 1.0)
    protection.protect(torch.isin(torch.arange(count), torch.tensor(nodes)))
    return protection


def test_the_range_follows_in_training_and_stands_still_in_evaluation() -> None:
    quantizer = TensorQuantizer(TensorQuantizerSettings())
    assert range_of(quantizer) == (math.inf, -math.inf)
    assert not quantizer.seen
    quantizer(torch.tensor([[-1.0, 2.0]]))
    assert range_of(quantizer) == (-1.0, 2.0)
    assert quantizer.seen
    quantizer(torch.tensor([[-3.0, 1.0]]))
    assert range_of(quantizer) == (-3.0, 2.0)
    out = quantizer.eval()(torch.tensor([[-100.0, 100.0]]))
    assert range_of(quantizer) == (-3.0, 2.0)
    assert out.flatten().tolist() == list(quantizer.grid.ends)


def test_training_uses_the_range_with_the_batch_in_it() -> None:
    quantizer = TensorQuantizer(TensorQuantizerSettings(4))
    for values in (torch.randn(20, 3), 5 * torch.randn(20, 3)):
        out = quantizer(values)
        assert torch.equal(out, fake_quantize(values, quantizer.grid))
        assert torch.equal(out, quantizer.eval()(values))
        quantizer.train()


def test_the_settings_decide_the_gradient() -> None:
    values = torch.linspace(-1, 1, 50)[:, None].requires_grad_()
    share = {}
    for gradient in ("straight-through", "gradient-clipping"):
        quantizer = TensorQuantizer(TensorQuantizerSettings(2, gradient))
        (of_values,) = torch.autograd.grad(quantizer(values).sum(), values)
        share[gradient] = float(of_values.mean())
    assert share["straight-through"] == 1
    assert 0.2 < share["gradient-clipping"] < 0.8


def test_repeats_decide_percentiles() -> None:
    quantizer = TensorQuantizer(TensorQuantizerSettings(tracking=RangeTracking(percentile=0.25)))
    quantizer(torch.tensor([[0.0], [1.0], [2.0], [3.0]]), torch.tensor([1, 0, 0, 7]))
    assert range_of(quantizer) == (3.0, 3.0)


def test_a_quantizer_that_saw_nothing_refuses_to_work() -> None:
    quantizer = TensorQuantizer(TensorQuantizerSettings()).eval()
    sentence = r"^the range inf to -inf holds no numbers; show the quantizer some first$"
    for use in (quantizer, quantizer.codes):
        with pytest.raises(SettingError, match=sentence):
            use(torch.ones(3, 2))


def test_the_range_is_part_of_the_state() -> None:
    quantizer, values = seen(torch.randn(30, 4), 5), torch.randn(30, 4)
    state = copy.deepcopy(quantizer.state_dict())
    assert set(state) == {"minimum", "maximum"}
    other = TensorQuantizer(TensorQuantizerSettings(5))
    other.load_state_dict(state)
    assert torch.equal(other.eval()(values), quantizer(values))


@PROPERTY
@given(
    st.integers(2, 8), st.sampled_from([None, True, False]), st.floats(-3, 3), st.floats(0.01, 100), st.integers(0, 999)
)
def test_codes_are_the_forward_to_the_bit(
    bits: int, signed: bool | None, shift: float, scale: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    quantizer = seen(scale * (torch.randn(20, 5, generator=generator) + shift), bits, signed)
    values = 2 * scale * (torch.randn(20, 5, generator=generator) + shift)
    held = quantizer.codes(values)
    assert torch.equal(held.codes, held.codes.round())
    assert torch.equal((held.codes - held.zero_point) * held.scale, quantizer(values))
    lowest, highest = (0, 255) if held.unsigned else (-128, 127)
    assert lowest <= held.codes.min() <= held.codes.max() <= highest
    assert held.scale.dim() == 0


def test_what_is_never_negative_has_codes_from_zero_on() -> None:
    values = torch.randn(50, 4).relu()
    quantizer = seen(values)
    held = quantizer.codes(values)
    assert (held.unsigned, held.zero_point, quantizer.grid.lowest) == (True, 0, 0.0)
    assert held.codes.max() == 255
    assert not seen(values, 4).codes(values).unsigned
    assert not seen(values - 1e-3).codes(values).unsigned
    assert not seen(values, signed=True).codes(values).unsigned
    assert seen(values - 1, signed=False).codes(values).unsigned


def test_what_is_never_negative_is_nearer_to_itself() -> None:
    """The step is that of the range alone, with no code left for a sign."""
    values = torch.rand(200, 4)
    for bits in (4, 8):
        assert seen(values, bits).grid.scale == pytest.approx(float(values.max()) / (2**bits - 1))


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_codes_of_numbers_that_are_not_finite_are_refused(wrong: float) -> None:
    quantizer = seen(torch.randn(5, 3))
    values = torch.randn(5, 3)
    values[2, 1] = wrong
    with pytest.raises(SettingError, match=r"^NaN or infinite activations cannot be quantized; check the features"):
        quantizer.codes(values)
    with pytest.raises(SettingError, match="only finite numbers can be quantized"):
        quantizer.train()(values)


def test_bad_settings_are_refused() -> None:
    with pytest.raises(SettingError, match=r"^bit_width 9 is outside 2 to 8"):
        TensorQuantizerSettings(9)
    with pytest.raises(SettingError, match=r"^gradient 'none' is unknown"):
        TensorQuantizerSettings(8, "none")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("percentile", [None, 0.1])
def test_protected_rows_neither_count_nor_change_in_training(percentile: float | None) -> None:
    settings = TensorQuantizerSettings(2, tracking=RangeTracking(percentile=percentile))
    quantizer = TensorQuantizer(settings, protecting(1, 3, count=4))
    values = torch.tensor([[0.1, -0.9], [50.0, -70.0], [1.3, 0.4], [33.3, 44.4]])
    out, alone = quantizer(values), TensorQuantizer(settings)
    expected = alone(values[[0, 2]])
    assert range_of(quantizer) == range_of(alone)
    assert torch.equal(out[[1, 3]], values[[1, 3]])
    assert torch.equal(out[[0, 2]], expected)
    assert not torch.equal(out[[0, 2]], values[[0, 2]])


def test_nothing_is_protected_in_evaluation() -> None:
    quantizer = TensorQuantizer(TensorQuantizerSettings(2), protecting(1, count=3))
    values = torch.randn(3, 5)
    quantizer(values)
    assert torch.equal(quantizer.eval()(values), fake_quantize(values, quantizer.grid))
    assert len(quantizer(torch.randn(7, 5))) == 7


def test_protected_rows_lose_their_repeats_but_the_callers_stay() -> None:
    settings = TensorQuantizerSettings(tracking=RangeTracking(percentile=0.25))
    quantizer, repeats = TensorQuantizer(settings, protecting(3, count=4)), torch.tensor([1, 2, 3, 100])
    quantizer(torch.tensor([[0.0], [1.0], [2.0], [3.0]]), repeats)
    # Six numbers are left: 0, 1, 1, 2, 2, 2, of which the first and the fourth are asked for.
    assert range_of(quantizer) == (0.0, 2.0)
    assert repeats.tolist() == [1, 2, 3, 100]


def test_a_pass_with_nothing_but_protected_rows_changes_nothing() -> None:
    quantizer = TensorQuantizer(TensorQuantizerSettings(2), protecting(0, 1, count=2))
    values = torch.randn(2, 3)
    assert torch.equal(quantizer(values), values)
    assert not quantizer.seen
    quantizer.protection.protect(torch.tensor([False, False]))  # pyright: ignore[reportOptionalMemberAccess]
    quantizer(values)
    before = range_of(quantizer)
    quantizer.protection.protect(torch.tensor([True, True]))  # pyright: ignore[reportOptionalMemberAccess]
    assert torch.equal(quantizer(9 * values), 9 * values)
    assert range_of(quantizer) == before


def test_rows_that_are_no_nodes_are_protected_with_the_node_they_belong_to() -> None:
    quantizer = TensorQuantizer(TensorQuantizerSettings(2), protecting(2, count=3))
    values = torch.tensor([[0.3], [90.0], [-0.7], [80.0], [1.0]])
    out = quantizer(values, node_of_row=torch.tensor([0, 2, 1, 2, 0]))
    assert out[[1, 3]].flatten().tolist() == [90.0, 80.0]
    assert range_of(quantizer) == pytest.approx((-0.7, 1.0))
    assert not torch.equal(out[[0, 2, 4]], values[[0, 2, 4]])


def test_a_copy_goes_its_own_way() -> None:
    quantizer = TensorQuantizer(TensorQuantizerSettings(4), protecting(0, count=2))
    quantizer(torch.tensor([[9.0], [1.0]]))
    other = copy.deepcopy(quantizer)
    other.protection.protect(torch.tensor([False, True]))  # pyright: ignore[reportOptionalMemberAccess]
    other(torch.tensor([[5.0], [100.0]]))
    assert range_of(quantizer) == (1.0, 1.0)
    assert range_of(other) == (1.0, 5.0)
    assert quantizer(torch.tensor([[7.77], [1.0]]))[0].item() == pytest.approx(7.77)


def test_training_on_no_rows_at_all_is_no_error() -> None:
    quantizer = TensorQuantizer(TensorQuantizerSettings())
    quantizer(torch.ones(2, 3))
    assert quantizer(torch.zeros(0, 3)).shape == (0, 3)
    assert range_of(quantizer) == (1.0, 1.0)


def test_a_first_batch_without_rows_is_no_error() -> None:
    """As the messages of a first batch of graphs without edges are."""
    quantizer, values = TensorQuantizer(TensorQuantizerSettings()), torch.ones(2, 3)
    assert torch.equal(quantizer(values, torch.zeros(2, dtype=torch.int64)), values)
    assert quantizer(torch.zeros(0, 3)).shape == (0, 3)
