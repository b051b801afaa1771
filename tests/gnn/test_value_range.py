"""Ranges of batches: exact percentiles, shortcuts that change nothing, and what is refused."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gnn.errors import SettingError
from gnn.quantization.percentile import CountedValues
from gnn.quantization.value_range import NOTHING_SEEN, Range, RangeTracking

PROPERTY = settings(deadline=None, max_examples=80, derandomize=True)
SEEDS, SHARES = st.integers(0, 2**31), st.sampled_from([0.001, 0.01, 0.1, 0.3, 0.49])
KNOWN = st.floats(-3, 3, width=32)
KINDS = st.sampled_from(["normal", "relu", "ties", "constant", "heavy"])


def numbers(kind: str, shape: tuple[int, int], seed: int) -> Tensor:
    """Values of a shape as layers have them."""
    generator = torch.Generator().manual_seed(seed)
    normal = torch.randn(shape, generator=generator)
    if kind == "relu":
        return normal.clamp(min=0)
    if kind == "ties":
        return (normal * 2).round()
    if kind == "constant":
        return torch.full(shape, float(normal.flatten()[0]))
    return normal**5 if kind == "heavy" else normal


def by_kthvalue(values: Tensor, share: float) -> Range:
    """The definition: two values of all that are there, one a copy."""
    flat, count = values.flatten(), values.numel()
    below, above = max(1, int(count * share)), max(1, int(count * (1 - share)))
    return float(flat.kthvalue(below).values), float(flat.kthvalue(above).values)


def percentiles(values: Tensor, share: float, repeats: Tensor | None = None, known: Range | None = None) -> Range:
    counted = CountedValues(values.numpy().reshape(-1), None if repeats is None else repeats.numpy(), values.shape[1])
    return counted.percentiles(share, known)


@PROPERTY
@given(KINDS, st.integers(1, 400), st.integers(1, 60), SHARES, SEEDS)
def test_percentiles_are_those_of_kthvalue(kind: str, rows: int, width: int, share: float, seed: int) -> None:
    values = numbers(kind, (rows, width), seed)
    assert percentiles(values, share) == by_kthvalue(values, share)
    assert RangeTracking(percentile=share).follow(NOTHING_SEEN, values) == by_kthvalue(values, share)


@PROPERTY
@given(KINDS, st.integers(1, 400), st.integers(1, 40), SHARES, st.integers(1, 6), SEEDS)
def test_a_row_counts_as_often_as_it_repeats(
    kind: str, rows: int, width: int, share: float, most: int, seed: int
) -> None:
    values = numbers(kind, (rows, width), seed)
    repeats = torch.randint(most, (rows,), generator=torch.Generator().manual_seed(seed))
    if not repeats.any():
        repeats[0] = 1
    expected = by_kthvalue(values.repeat_interleave(repeats, dim=0), share)
    assert percentiles(values, share, repeats) == expected
    assert RangeTracking(percentile=share).follow(NOTHING_SEEN, values, repeats) == expected


@pytest.mark.parametrize("kind", ["normal", "relu", "ties", "constant", "heavy"])
@pytest.mark.parametrize("share", [0.001, 0.01, 0.4])
@pytest.mark.parametrize("most", [None, 1, 3, 200])
def test_many_values_of_which_only_a_sample_is_sorted(kind: str, share: float, most: int | None) -> None:
    values = numbers(kind, (3000, 17), 0)
    repeats = None if most is None else torch.randint(most + 1, (3000,), generator=torch.Generator().manual_seed(1))
    whole = values if repeats is None else values.repeat_interleave(repeats, dim=0)
    assert percentiles(values, share, repeats) == by_kthvalue(whole, share)


@pytest.mark.parametrize("most", [None, 3])
def test_a_sample_that_does_not_look_like_the_rest_changes_nothing(most: int | None) -> None:
    values = torch.randn(20_000, 1)
    # Every other value, which is what a sample of this size sees, is far from all others.
    values[::2] += 1000
    values[::4] -= 3000
    repeats = None if most is None else torch.randint(1, most, (20_000,))
    whole = values if repeats is None else values.repeat_interleave(repeats, dim=0)
    for share in (0.001, 0.01, 0.2):
        assert percentiles(values, share, repeats) == by_kthvalue(whole, share)


@pytest.mark.parametrize("repeated", [False, True])
def test_the_sample_may_find_just_as_many_values_as_are_needed(repeated: bool) -> None:
    """Every other value is in the sample; one number of small ones between them is exactly enough."""
    repeats = torch.ones(8192, dtype=torch.int64) if repeated else None
    for small in range(40):
        values = torch.full((8192, 1), 1e4)
        values[::2, 0] = torch.arange(4096.0)
        values[1 : 2 * small : 2] = -1.0
        assert percentiles(values, 0.01, repeats)[0] == by_kthvalue(values, 0.01)[0]
        assert percentiles(-values, 0.01, repeats)[1] == by_kthvalue(-values, 0.01)[1]


def test_rows_that_count_zero_times_are_not_there() -> None:
    values = torch.tensor([[-100.0, 100.0], [1.0, 2.0], [3.0, 4.0]])
    repeats = torch.tensor([0, 1, 2])
    assert percentiles(values, 0.01, repeats) == by_kthvalue(torch.tensor([[1.0, 2, 3, 4, 3, 4]]), 0.01)
    for tracking in (RangeTracking(), RangeTracking(momentum=0.1)):
        assert tracking.follow(NOTHING_SEEN, values, repeats) == (1.0, 4.0)


@PROPERTY
@given(KINDS, st.integers(1, 300), SHARES, st.booleans(), SEEDS)
def test_a_known_range_saves_work_and_changes_nothing(
    kind: str, rows: int, share: float, repeated: bool, seed: int
) -> None:
    """The range widens over batches as it does when every batch is looked at from scratch."""
    generator = torch.Generator().manual_seed(seed)
    tracking, tracked, low, high = RangeTracking(percentile=share), NOTHING_SEEN, math.inf, -math.inf
    for batch in range(5):
        values = numbers(kind, (rows, 7), seed + batch) * float(torch.rand(1, generator=generator) + 0.5)
        repeats = torch.randint(1, 4, (rows,), generator=generator) if repeated else None
        tracked = tracking.follow(tracked, values, repeats)
        of_batch = by_kthvalue(values if repeats is None else values.repeat_interleave(repeats, dim=0), share)
        low, high = min(low, of_batch[0]), max(high, of_batch[1])
        assert tracked == (low, high)


@PROPERTY
@given(KINDS, st.integers(1, 300), SHARES, st.tuples(KNOWN, KNOWN), SEEDS)
def test_an_end_beyond_the_known_range_is_found_exactly(
    kind: str, rows: int, share: float, known: Range, seed: int
) -> None:
    values = numbers(kind, (rows, 5), seed)
    low, high = by_kthvalue(values, share)
    found = percentiles(values, share, known=known)
    assert (min(found[0], known[0]), max(found[1], known[1])) == (min(low, known[0]), max(high, known[1]))


def test_the_first_index_is_the_minimum_for_few_values_and_the_last_is_never_the_maximum() -> None:
    values = torch.arange(100.0)[:, None]
    assert percentiles(values, 0.019) == (0.0, 97.0)
    assert percentiles(values, 0.001) == (0.0, 98.0)
    assert percentiles(torch.tensor([[7.0]]), 0.01) == (7.0, 7.0)


def test_ranges_widen_without_momentum() -> None:
    tracking, tracked = RangeTracking(), NOTHING_SEEN
    for batch, expected in (([1.0, 2.0], (1, 2)), ([-1.0, 1.5], (-1, 2)), ([0.0, 0.0], (-1, 2)), ([5.0], (-1, 5))):
        tracked = tracking.follow(tracked, torch.tensor(batch)[:, None])
        assert tracked == expected


@pytest.mark.parametrize("percentile", [None, 0.25])
def test_momentum_moves_a_range_by_its_share(percentile: float | None) -> None:
    tracking = RangeTracking(momentum=0.25, percentile=percentile)
    batches = [torch.tensor([[-4.0], [8.0], [0.0], [8.0]]), torch.tensor([[0.0], [0.0], [0.0], [0.0]])]
    first = tracking.follow(NOTHING_SEEN, batches[0])
    assert first == (-4.0, 8.0)
    assert tracking.follow(first, batches[1]) == (-3.0, 6.0)
    assert tracking.follow(first, batches[0]) == first


def test_momentum_brings_a_range_to_that_of_the_batches() -> None:
    tracking, tracked = RangeTracking(momentum=0.1), (-100.0, 100.0)
    values = torch.tensor([[-1.0], [2.0]])
    history = [tracked] + [tracked := tracking.follow(tracked, values) for _ in range(200)]
    assert tracked == pytest.approx((-1.0, 2.0), abs=1e-4)
    assert all(one[0] <= other[0] and one[1] >= other[1] for one, other in pairwise(history))


@pytest.mark.parametrize("tracking", [RangeTracking(), RangeTracking(momentum=0.1), RangeTracking(percentile=0.01)])
@pytest.mark.parametrize("before", [NOTHING_SEEN, (-1.0, 2.0)])
def test_a_batch_without_rows_changes_nothing(tracking: RangeTracking, before: Range) -> None:
    assert tracking.follow(before, torch.zeros(0, 4)) == before
    assert tracking.follow(before, torch.zeros(3, 0)) == before
    assert tracking.follow(before, torch.ones(3, 4), torch.zeros(3, dtype=torch.int64)) == before


@pytest.mark.parametrize("tracking", [RangeTracking(), RangeTracking(momentum=0.1), RangeTracking(percentile=0.01)])
@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("before", [NOTHING_SEEN, (-1.0, 2.0)])
def test_numbers_that_are_not_finite_are_refused(tracking: RangeTracking, wrong: float, before: Range) -> None:
    values = torch.randn(50, 4)
    values[17, 2] = wrong
    for repeats in (None, torch.ones(50, dtype=torch.int64)):
        with pytest.raises(SettingError, match=r"^activations or weights range from .* to .*; only finite numbers can"):
            tracking.follow(before, values, repeats)


@pytest.mark.parametrize("wrong", [0, -0.1, 1.5, math.nan])
def test_a_momentum_that_is_no_share_is_refused(wrong: float) -> None:
    with pytest.raises(SettingError, match=rf"^momentum {wrong} is outside \(0, 1\]; give a share such as 0.01$"):
        RangeTracking(momentum=wrong)
    assert RangeTracking(momentum=1).follow((-5.0, 5.0), torch.ones(1, 1)) == (1.0, 1.0)


@pytest.mark.parametrize("wrong", [0, -0.1, 0.5, math.nan])
def test_a_percentile_that_is_no_share_is_refused(wrong: float) -> None:
    with pytest.raises(SettingError, match=rf"^percentile {wrong} is outside \(0, 0.5\); give a share such as 0.001$"):
        RangeTracking(percentile=wrong)


def test_a_range_moves_in_single_precision_as_a_tensor_does() -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        old, values = torch.randn(2, generator=generator).sort().values, torch.randn(9, generator=generator)
        expected = old + 0.01 * (torch.stack([values.min(), values.max()]) - old)
        low, high = old.tolist()
        assert RangeTracking(momentum=0.01).follow((low, high), values) == tuple(expected.tolist())
