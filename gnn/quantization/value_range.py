"""Which range of numbers a quantizer has to cover: what it saw, and how it remembers."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gnn.errors import SettingError
from gnn.quantization.percentile import CountedValues

Range = tuple[float, float]
NOTHING_SEEN: Range = (math.inf, -math.inf)


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
        observed = self._observe(values, repeats, None if self.momentum or before == NOTHING_SEEN else before)
        if NOTHING_SEEN in (observed, before):
            return min(before, observed)
        if self.momentum is None:
            return min(before[0], observed[0]), max(before[1], observed[1])
        old = torch.tensor(before)
        low, high = (old + self.momentum * (torch.tensor(observed) - old)).tolist()
        return low, high

    def _observe(self, values: Tensor, repeats: Tensor | None, known: Range | None) -> Range:
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
        return lowest, highest


def _present(values: Tensor, repeats: Tensor | None) -> Tensor:
    """The rows that count at all."""
    if repeats is None or bool(repeats.all()):
        return values
    return values.index_select(0, repeats.nonzero()[:, 0])
