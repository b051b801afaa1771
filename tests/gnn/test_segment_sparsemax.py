"""Sparsemax of segments is the projection on the simplex, segment by segment."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gnn.layers.segment_sparsemax import segment_softmax, segment_sparsemax, sparsemax_support

Normalise = Callable[[Tensor, Tensor, int], Tensor]
PROPERTY = settings(deadline=None, max_examples=40, derandomize=True)


def project_sorted(scores: Tensor) -> Tensor:
    """Sparsemax of one vector as Martins and Astudillo write it, by sorting."""
    ordered = scores.sort(descending=True).values
    size = torch.arange(1, len(scores) + 1)
    support = int((1 + size * ordered > ordered.cumsum(0)).sum())
    return (scores - (ordered[:support].sum() - 1) / support).clamp(min=0)


@st.composite
def segmented_scores(draw: st.DrawFn) -> tuple[Tensor, Tensor, int]:
    """Scores with many ties, and segments in any order of which some are empty."""
    segments = draw(st.integers(1, 6))
    entries = draw(st.integers(0, 40))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 999)))
    scores = torch.randn(entries, dtype=torch.float64, generator=generator) * draw(st.sampled_from([0.1, 1.0, 30.0]))
    if draw(st.booleans()):
        scores = scores.round()
    return scores, torch.randint(segments, (entries,), generator=generator), segments


@PROPERTY
@given(segmented_scores())
def test_every_segment_is_projected_on_its_own(case: tuple[Tensor, Tensor, int]) -> None:
    scores, segment, segments = case
    probability = segment_sparsemax(scores, segment, segments)
    for number in segment.unique().tolist():
        of_segment = probability[segment == number]
        torch.testing.assert_close(of_segment, project_sorted(scores[segment == number]))
        torch.testing.assert_close(of_segment.sum(), torch.ones((), dtype=torch.float64))
    assert torch.equal(sparsemax_support(scores, segment, segments), probability.nonzero()[:, 0])


@PROPERTY
@given(segmented_scores())
def test_gradient_is_centred_on_the_support_and_zero_elsewhere(case: tuple[Tensor, Tensor, int]) -> None:
    scores, segment, segments = case
    scores = scores.requires_grad_()
    incoming = torch.randn(len(scores), dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    probability = segment_sparsemax(scores, segment, segments)
    probability.backward(incoming)
    expected = torch.zeros_like(incoming)
    for number in segment.unique().tolist():
        support = (segment == number) & (probability > 0)
        expected[support] = incoming[support] - incoming[support].mean()
    torch.testing.assert_close(scores.grad, expected)


def test_gradient_is_that_of_finite_differences() -> None:
    scores = torch.tensor([0.3, -0.2, 0.9, 5.0, 1.1, 0.7, -3.0], dtype=torch.float64, requires_grad=True)
    segment = torch.tensor([0, 0, 0, 1, 3, 3, 3])
    assert torch.autograd.gradcheck(lambda z: segment_sparsemax(z, segment, 4), scores)


def test_equal_scores_share_and_a_lone_entry_takes_all() -> None:
    probability = segment_sparsemax(torch.tensor([2.0, 2.0, 2.0, 2.0, -7.0]), torch.tensor([0, 0, 0, 0, 1]), 2)
    assert probability.tolist() == [0.25, 0.25, 0.25, 0.25, 1.0]


@pytest.mark.parametrize(
    ("scores", "expected"), [([1.0, 0.0], [1.0, 0.0]), ([0.0, -0.5, -0.75], [0.75, 0.25, 0.0])], ids=str
)
def test_a_score_exactly_at_the_threshold_is_not_in_the_support(scores: list[float], expected: list[float]) -> None:
    segment = torch.zeros(len(scores), dtype=torch.int64)
    assert segment_sparsemax(torch.tensor(scores), segment, 1).tolist() == expected
    assert sparsemax_support(torch.tensor(scores), segment, 1).tolist() == list(range(len(scores) - 1))


@pytest.mark.parametrize("normalise", [segment_sparsemax, segment_softmax])
def test_adding_a_number_to_a_segment_changes_nothing(normalise: Normalise) -> None:
    scores, segment = torch.tensor([0.5, 0.25, -0.5, 0.125]), torch.tensor([0, 0, 1, 1])
    shifted = scores + torch.tensor([1024.0, 1024.0, -256.0, -256.0])
    assert torch.equal(normalise(shifted, segment, 2), normalise(scores, segment, 2))


@pytest.mark.parametrize("normalise", [segment_sparsemax, segment_softmax])
def test_without_entries_there_is_nothing(normalise: Normalise) -> None:
    assert normalise(torch.empty(0), torch.empty(0, dtype=torch.int64), 3).shape == (0,)


def test_softmax_is_the_softmax_of_every_segment() -> None:
    scores = torch.randn(9, dtype=torch.float64, generator=torch.Generator().manual_seed(2)) * 100
    segment = torch.tensor([0, 0, 0, 2, 2, 2, 2, 3, 3])
    scores.requires_grad_()
    expected = torch.cat([part.softmax(0) for part in scores.split([3, 4, 2])])
    found = segment_softmax(scores, segment, 4)
    torch.testing.assert_close(found, expected)
    weight = torch.arange(9.0, dtype=torch.float64)
    torch.testing.assert_close(
        torch.autograd.grad(found @ weight, scores)[0], torch.autograd.grad(expected @ weight, scores)[0]
    )
