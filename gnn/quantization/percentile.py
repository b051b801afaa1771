"""Exact percentiles of many numbers without sorting them."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

SAMPLE_SIZE = 4096
# The sample's share of small values is not exactly that of all, so the pivot is taken somewhat further in.
PIVOT_MARGIN, PIVOT_EXTRA = 1.5, 8


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
        below, above = max(1, int(self.count * share)), max(1, int(self.count * (1 - share)))
        low, high = known or (None, None)
        # The k-th smallest is the (n - k + 1)-th largest.
        return self._ranked(np.less, below, low), self._ranked(np.greater, self.count - above + 1, high)

    def _ranked(self, beyond: np.ufunc, rank: int, known: float | None) -> float:
        """The value of a rank counted from the lower end (`beyond` is np.less) or the upper one (np.greater).

        It is fast for a rank that is small beside the number of values.
        """
        if known is not None and self._few(beyond(self.flat, known), rank):
            return known
        stride = self.flat.size // SAMPLE_SIZE
        place = int(PIVOT_MARGIN * rank / self.count * SAMPLE_SIZE) + PIVOT_EXTRA
        if stride >= 2 and place < SAMPLE_SIZE:
            pivot = _select(self.flat[::stride], place, None, beyond)
            chosen = np.flatnonzero(beyond(self.flat, pivot))
            found = self._weight(chosen)
            if found >= rank:
                return _select(self.flat[chosen], rank, self._weights(chosen), beyond)
            if found + self._weight(np.flatnonzero(self.flat == pivot)) >= rank:
                return float(pivot)
        return _select(self.flat, rank, self._weights(np.arange(self.flat.size)), beyond)

    def _few(self, chosen: np.ndarray, rank: int) -> bool:
        """Whether the chosen values count fewer than `rank` times."""
        count = int(np.count_nonzero(chosen))
        if count == 0 or self.repeats is None:
            return count < rank
        return self._weight(np.flatnonzero(chosen)) < rank

    def _weight(self, positions: np.ndarray) -> int:
        return positions.size if self.repeats is None else int(self.repeats[positions // self.width].sum())

    def _weights(self, positions: np.ndarray) -> np.ndarray | None:
        return None if self.repeats is None else self.repeats[positions // self.width]


def _select(values: np.ndarray, rank: int, weights: np.ndarray | None, beyond: np.ufunc) -> float:
    """The value of a rank counted from one end, of values that count `weights` times each."""
    if weights is None:
        place = rank - 1 if beyond is np.less else values.size - rank
        return float(np.partition(values, place)[place])
    order = np.argsort(values)
    if beyond is np.greater:
        order = order[::-1]
    return float(values[order[np.searchsorted(weights[order].cumsum(), rank)]])
