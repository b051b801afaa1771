"""The scheme of post-training quantization: weights by channel, and only what enters a product besides."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gnn.quantization.fake_quantize import Codes, require_bit_width
from gnn.quantization.scheme import Site
from gnn.quantization.tensor_quantizer import TensorQuantizer, TensorQuantizerSettings


class ChannelRangeQuantizer(nn.Module):
    """Weights as whole multiples of one scale per output channel, which follows from the weights themselves.

    scale = max |weight| / (2^(bits - 1) - 1) over the channel, codes from -(2^(bits - 1) - 1) on, halves to even.
    Source: Krishnamoorthi, arXiv 1806.08342, section 2.2. Raises `SettingError` for a bit width out of range.
    """

    def __init__(self, bit_width: int, output_axis: int, channels: int) -> None:
        super().__init__()
        require_bit_width(bit_width)
        self.weight_bits, self.output_axis, self.scales = bit_width, output_axis, channels

    def forward(self, weight: Tensor) -> Tensor:
        """The weight on its grid."""
        held = self.codes(weight)
        return held.codes * held.scale

    @torch.no_grad()
    def codes(self, weight: Tensor) -> Codes:
        """The codes of the weight, and the scale of every channel."""
        axes = [axis for axis in range(weight.dim()) if axis != self.output_axis % weight.dim()]
        largest = 2 ** (self.weight_bits - 1) - 1
        scale = weight.abs().amax(axes, keepdim=True) / largest
        scale = torch.where(scale > 0, scale, 1.0)
        return Codes((weight / scale).round_().clamp_(-largest, largest), scale)


@dataclass(frozen=True, eq=False)
class ChannelScheme:
    """Weights by channel; of all else only the inputs of products, with the range that calibration saw."""

    settings: TensorQuantizerSettings
    sends_itself: bool = False

    def for_weights(self, weight: Tensor, output_axis: int) -> nn.Module:
        """A scale for each output channel."""
        return ChannelRangeQuantizer(self.settings.bit_width, output_axis, weight.shape[output_axis])

    def for_site(self, site: Site) -> nn.Module | None:
        """A quantizer of inputs; products give FP32, and so do sums over neighbours."""
        return TensorQuantizer(self.settings) if site.place == "inputs" else None
