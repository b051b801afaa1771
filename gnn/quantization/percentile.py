"""Exact percentiles of many numbers without sorting them."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

SAMPLE_SIZE = 4096
# The sample's share of small values is not exactly that of all, so the pivot is taken somewhat further in.
PIVOT_MARGIN, PIVOT_EXTRA = 1.5, 8
# Fewer than one of so many values are ordered as they are.
FEW = 8


def ranks(count: int, share: float) -> tuple[int, int]:
    """The ranks of the two percentiles of so many values, counted from the lower and from the upper end."""
    # The k-th smallest is the (n - k + 1)-th largest.
    return max(1, int(count * share)), count - max(1, int(count * (1 - share))) + 1


@dataclass(frozen=True, eq=False)
class CountedValues:
    """Values [entries] of which each counts as often as its row does, once without `repeats` [rows].

    A row has `width` values, next to each other; one that counts zero times is not there.
    """

    flat: np.ndarray
    repeats: np.ndarray | None
    width: int

    @cached_property
    def count(self) -> int:
        """How many values there are."""
        return self.flat.size if self.repeats is None else self.width * int(self.repeats.sum())

    def percentiles(self, share: float, known: tuple[float, float] | None = None) -> tuple[float, float]:
        """The k-th smallest of n values for k = max(1, int(n * share)) and for k = max(1, int(n * (1 - share))).

        The first is the minimum as long as n * share < 2 while the second is never the maximum: the reference's indices
        are not symmetric. An end that is not beyond that of a `known` range is given as the latter. No value is
        approximated: a sample only tells which values need not be looked at.

        Source: Degree-Quant, dq/quantization.py, IntegerQuantizer (two torch.kthvalue).
        """
        below, above = ranks(self.count, share)
        low, high = known or (None, None)
        return self._ranked(np.less, below, low), self._ranked(np.greater, above, high)

    def _ranked(self, beyond: np.ufunc, rank: int, known: float | None) -> float:
        """The value of a rank counted from the lower end (`beyond` is np.less) or the upper one (np.greater).

        It is fast for a rank that is small beside the number of values.
        """
        if known is not None:
            chosen = np.flatnonzero(beyond(self.flat, known))
            if self._weight(chosen) < rank:
                return known
            if chosen.size * FEW < self.flat.size:
                return select(self.flat[chosen], self._weights(chosen), rank, beyond)
        stride = self.flat.size // SAMPLE_SIZE
        place = int(PIVOT_MARGIN * rank / self.count * SAMPLE_SIZE) + PIVOT_EXTRA
        if stride >= 2 and place < SAMPLE_SIZE:
            pivot = select(self.flat[::stride], None, place, beyond)
            chosen = np.flatnonzero(beyond(self.flat, pivot))
            found = self._weight(chosen)
            if found >= rank:
                return select(self.flat[chosen], self._weights(chosen), rank, beyond)
            if found + self._weight(np.flatnonzero(self.flat == pivot)) >= rank:
                return float(pivot)
        return select(self.flat, self._weights(np.arange(self.flat.size)), rank, beyond)

    def _weight(self, positions: np.ndarray) -> int:
        return positions.size if self.repeats is None else int(self.repeats[positions // self.width].sum())

    def _weights(self, positions: np.ndarray) -> np.ndarray | None:
        return None if self.repeats is None else self.repeats[positions // self.width]


def select(values: np.ndarray, weights: np.ndarray | None, rank: int, beyond: np.ufunc) -> float:
    """The value of a rank counted from one end, of values that count `weights` times each."""
    if weights is None:
        place = rank - 1 if beyond is np.less else values.size - rank
        return float(np.partition(values, place)[place])
    order = np.argsort(values)
    if beyond is np.greater:
        order = order[::-1]
    return float(values[order[np.searchsorted(weights[order].cumsum(), rank)]])
