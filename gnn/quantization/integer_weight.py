"""A weight as whole codes, with a scale and a zero for the whole of it or for each output channel."""

from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from gnn.errors import SettingError
from gnn.quantization.integer_kernels import pack_codes, unpack_codes


class IntegerWeight(nn.Module):
    """weight = (code - zero) * scale, codes from 0 to 2^bit_width - 1, two of them in a byte up to 4 bits.

    Buffers: `packed` uint8; `scale` float32 and `zero` uint8, [1] or, per channel, [channels] along `output_axis`.
    `outputs` is how many numbers a product with the weight gives.
    """

    packed: Tensor
    scale: Tensor
    zero: Tensor

    def __init__(self, shape: torch.Size, output_axis: int, bit_width: int, channels: int, outputs: int) -> None:
        super().__init__()
        self.outputs = outputs
        self.shape, self.output_axis, self.bit_width = shape, output_axis % len(shape), bit_width
        codes = torch.zeros(prod(shape), dtype=torch.uint8)
        self.register_buffer("packed", pack_codes(codes, bit_width))
        self.register_buffer("scale", torch.ones(channels))
        self.register_buffer("zero", torch.zeros(channels, dtype=torch.uint8))

    @torch.no_grad()
    def hold(self, quantizer: Any, weight: Tensor) -> None:  # noqa: ANN401
        """Take over a weight from its quantizer; raises `SettingError` for codes that need more bits."""
        held = quantizer.codes(weight)
        codes, zero_point = held.codes, held.zero_point
        lowest, highest = int(codes.min()), int(codes.max())
        # Codes that may be negative are moved up, so that the lowest that their bits allow becomes 0.
        shift = 2 ** (self.bit_width - 1) if min(lowest, zero_point) < 0 else 0
        if lowest + shift < 0 or highest + shift >= 2**self.bit_width:
            raise SettingError(f"codes from {lowest} to {highest} do not fit into {self.bit_width} bits")
        self.packed.copy_(pack_codes(codes + shift, self.bit_width))
        self.scale.copy_(held.scale.flatten())
        self.zero.fill_(zero_point + shift)

    @property
    def codes(self) -> Tensor:
        """Codes less their zero, whole numbers in int16 of the weight's shape."""
        codes = unpack_codes(self.packed, self.bit_width, self.shape).to(torch.int16)
        return codes - self._along_outputs(self.zero).to(torch.int16)

    def dequantize(self) -> Tensor:
        """The weight in FP32."""
        return self.codes.float() * self._along_outputs(self.scale)

    def _along_outputs(self, values: Tensor) -> Tensor:
        shape = [1] * len(self.shape)
        shape[self.output_axis] = -1
        return values.view(shape)
