"""Which range of numbers a quantizer has to cover: what it saw, and how it remembers."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gnn.errors import SettingError
from gnn.native import quantizers
from gnn.quantization.percentile import FEW, CountedValues, ranks, select

Range = tuple[float, float]
NOTHING_SEEN: Range = (math.inf, -math.inf)
# Sums of less than this are finite in FP32, whatever they are on the way.
LARGEST_SUM = 1e38


@dataclass(frozen=True)
class RangeTracking:
    """How ranges of several batches become one.

    Of every batch the minimum and maximum are taken or, with `percentile` p, the values that a share p lies below and
    above. They widen the range or, with `momentum` m, move it: range + m * (new - range). Raises `SettingError` for
    shares out of range.
    """

    momentum: float | None = None
    percentile: float | None = None

    def __post_init__(self) -> None:
        if self.momentum is not None and not 0 < self.momentum <= 1:
            raise SettingError(f"momentum {self.momentum} is outside (0, 1]; give a share such as 0.01")
        if self.percentile is not None and not 0 < self.percentile < 0.5:
            raise SettingError(f"percentile {self.percentile} is outside (0, 0.5); give a share such as 0.001")

    def follow(self, before: Range, values: Tensor, repeats: Tensor | None = None) -> Range:
        """The range after another batch [rows, ...], in which row i counts `repeats`[i] times, once when None.

        The first range is taken as it is; a batch without rows changes nothing. Raises `SettingError` for values that
        are not finite.
        """
        lowest, highest = self._observe(values, repeats, None if self.momentum or before == NOTHING_SEEN else before)
        if NOTHING_SEEN in ((lowest, highest), before):
            return min(before, (lowest, highest))
        if self.momentum is None:
            return min(before[0], lowest), max(before[1], highest)
        return _moved(before[0], lowest, self.momentum), _moved(before[1], highest, self.momentum)

    def _observe(self, values: Tensor, repeats: Tensor | None, known: Range | None) -> Range:
        if (found := self._by_kernel(values, repeats, known)) is not None:
            return found
        if values.numel() == 0 or (repeats is not None and not bool(repeats.any())):
            return NOTHING_SEEN
        if self.percentile is None:
            ends = _present(values, repeats).aminmax()
            lowest, highest = float(ends.min), float(ends.max)
        elif math.isfinite(float(values.sum())):
            counts = None if repeats is None else repeats.cpu().numpy()
            flat = values.contiguous().cpu().numpy().reshape(-1)
            lowest, highest = CountedValues(flat, counts, values[0].numel()).percentiles(self.percentile, known)
        else:
            lowest, highest = float(values.min()), float(values.max())
        if not -math.inf < lowest <= highest < math.inf:
            raise SettingError(
                f"activations or weights range from {lowest:g} to {highest:g}; only finite numbers can be quantized, "
                "so lower the learning rate or check the features"
            )
        # Which of two zeros is the least is nobody's choice.
        return lowest + 0.0, highest + 0.0

    def _by_kernel(self, values: Tensor, repeats: Tensor | None, known: Range | None) -> Range | None:
        """What one pass finds, None where that is not all there is to do."""
        if (self.percentile is not None and known is None) or not _taken(values, repeats):
            return None
        if self.percentile is None or known is None:
            seen = quantizers.observe(values, repeats)
            # NaN is not equal to itself.
            finite = -math.inf < seen.lowest <= seen.highest < math.inf
            return (seen.lowest + 0.0, seen.highest + 0.0) if finite else None
        seen = quantizers.observe(values, repeats, known)
        finite = max(-seen.lowest, seen.highest) * values.numel() < LARGEST_SUM
        if not finite or not seen.total or max(seen.below, seen.above) * FEW > values.numel():
            return None
        below, above = ranks(seen.total, self.percentile)
        low, high = known
        if seen.below >= below:
            found = quantizers.beyond(values, repeats, low, above=False, most=seen.below)
            low = select(*found, below, np.less)
        if seen.above >= above:
            found = quantizers.beyond(values, repeats, high, above=True, most=seen.above)
            high = select(*found, above, np.greater)
        return low + 0.0, high + 0.0


def _taken(values: Tensor, repeats: Tensor | None) -> bool:
    if repeats is not None and not (
        repeats.dtype is torch.int64 and repeats.is_contiguous() and repeats.shape == values.shape[:1]
    ):
        return False
    return quantizers.takes(values)


def _moved(end: float, towards: float, share: float) -> float:
    """end + share * (towards - end), each rounded to FP32."""
    old = np.float32(end)
    return float(old + np.float32(share) * (np.float32(towards) - old))


def _present(values: Tensor, repeats: Tensor | None) -> Tensor:
    """The rows that count at all."""
    if repeats is None or bool(repeats.all()):
        return values
    return values.index_select(0, repeats.nonzero()[:, 0])
