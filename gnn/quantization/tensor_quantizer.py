"""The quantizer of one tensor: a range that is tracked in training, and a grid over it."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from gnn.errors import SettingError
from gnn.quantization.degree_protection import DegreeProtection
from gnn.quantization.fake_quantize import (
    MOST_BITS,
    Codes,
    Gradient,
    Grid,
    fake_quantize,
    require_bit_width,
    require_gradient,
)
from gnn.quantization.value_range import Range, RangeTracking


@dataclass(frozen=True)
class TensorQuantizerSettings:
    """Bits of a code, how gradients pass and how ranges are tracked; raises `SettingError` for values out of range.

    Codes are `signed` or not; with None they are not as long as the range has no negative number, as after a ReLU.
    """

    bit_width: int = 8
    gradient: Gradient = "straight-through"
    tracking: RangeTracking = field(default_factory=RangeTracking)
    signed: bool | None = None

    def __post_init__(self) -> None:
        require_bit_width(self.bit_width)
        require_gradient(self.gradient)


class TensorQuantizer(nn.Module):
    """Fake-quantize a tensor over the range of what was seen in training; in evaluation the range stands still.

    With a `protection`, the rows of protected nodes neither count for the range nor are quantized in training.
    Source: Degree-Quant, dq/quantization.py, IntegerQuantizer, and dq/multi_quant.py for protected rows.
    With `rectifies`, what it gives has gone through the ReLU that followed.
    Buffers: `minimum` and `maximum`, scalars; inf and -inf until something was seen. Raises `SettingError` for values
    that are not finite, and when it is asked before it saw any.
    """

    minimum: Tensor
    maximum: Tensor

    def __init__(self, settings: TensorQuantizerSettings, protection: DegreeProtection | None = None) -> None:
        super().__init__()
        self.settings, self.protection, self.rectifies = settings, protection, False
        self.register_buffer("minimum", torch.tensor(torch.inf))
        self.register_buffer("maximum", torch.tensor(-torch.inf))

    @property
    def bit_width(self) -> int:
        """Bits of every code."""
        return self.settings.bit_width

    @property
    def weight_bits(self) -> int:
        """Bits that hold every code of a weight."""
        return self.bit_width

    @property
    def scales(self) -> int:
        """One scale for all of a tensor."""
        return 1

    @property
    def seen(self) -> bool:
        """Whether there is a range yet."""
        minimum, maximum = self.tracked
        return minimum <= maximum

    @property
    def tracked(self) -> Range:
        """The tracked range."""
        return float(self.minimum), float(self.maximum)

    @property
    def grid(self) -> Grid:
        """The grid over the tracked range."""
        return self._grid(self.tracked)

    def _grid(self, tracked: Range) -> Grid:
        signed = tracked[0] < 0 if self.settings.signed is None else self.settings.signed
        return Grid.of_range(*tracked, self.bit_width, signed=signed)

    def forward(self, values: Tensor, repeats: Tensor | None = None, *, node_of_row: Tensor | None = None) -> Tensor:
        """Values [rows, ...] on the grid; row i counts `repeats`[i] times where a range of percentiles is tracked.

        `node_of_row` [rows] says which node a row belongs to where rows are no nodes.
        """
        if not self.training:
            if not self.seen and (values.numel() == 0 or (repeats is not None and not bool(repeats.any()))):
                # Training had no edges, and there are none now.
                return values
            return fake_quantize(values, self.grid, self.settings.gradient, rectify=self.rectifies)
        kept = None if self.protection is None else self.protection.rows(len(values), node_of_row)
        tracked = self._track(values.detach(), repeats, kept)
        if not tracked[0] <= tracked[1]:
            # A batch without rows, or with protected ones alone, has no range.
            return values.relu() if self.rectifies else values
        return fake_quantize(values, self._grid(tracked), self.settings.gradient, kept, rectify=self.rectifies)

    def codes(self, values: Tensor) -> Codes:
        """The codes of values that are quantized by integers from here on."""
        if not values.sum().isfinite():
            raise SettingError("NaN or infinite activations cannot be quantized; check the features and the weights")
        grid = self.grid
        unsigned = grid.lowest == 0 and self.bit_width == MOST_BITS
        return Codes(grid.codes(values), values.new_tensor(grid.scale), int(grid.zero_point), unsigned)

    def _track(self, values: Tensor, repeats: Tensor | None, kept: Tensor | None) -> Range:
        if kept is not None:
            once = kept.new_ones(len(values)) if repeats is None else repeats
            repeats = once.index_fill(0, kept, 0)
        before = self.tracked
        after = self.settings.tracking.follow(before, values, repeats)
        if after == before:
            return before
        self.minimum.fill_(after[0])
        self.maximum.fill_(after[1])
        return self.tracked

    def extra_repr(self) -> str:
        """The settings, for printing a model."""
        return f"{self.settings}"
