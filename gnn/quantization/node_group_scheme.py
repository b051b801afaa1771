"""The scheme of A2Q: learned step sizes and bit widths for channels of weights and for groups of nodes."""

from dataclasses import dataclass

from torch import Tensor, nn

from gnn.quantization.learned_quantizer import ChannelQuantizer, NodeQuantizer
from gnn.quantization.scheme import Site

# Means and deviations of the normal distribution whose magnitudes the step sizes start as.
WEIGHT_STEPS = (0.01, 0.1)
NODE_STEPS = (0.01, 0.1)
MESSAGE_STEPS = (0.01, 0.01)


@dataclass(frozen=True, eq=False)
class NodeGroupScheme:
    """Weights by output channel, inputs of products by group of nodes, messages by channel; all else in FP32.

    Inputs of the layers in `nonnegative` get one bit more: it would be their sign, which is never needed.
    Source: A2Q, lr_gin_reddit_binary.py and quantize_function/u_quant_gc_bit_debug.py.
    """

    bit_width: int
    groups: int
    nonnegative: frozenset[str]
    sends_itself: bool = True

    def for_weights(self, weight: Tensor, output_axis: int) -> nn.Module:
        """A step size and a bit width for each output channel."""
        mean, std = WEIGHT_STEPS
        channels, axis = weight.shape[output_axis], output_axis % weight.dim()
        return ChannelQuantizer(channels, self.bit_width, local_gradient=False, axis=axis, mean=mean, std=std)

    def for_site(self, site: Site) -> nn.Module | None:
        """Groups of nodes for inputs, channels for messages."""
        if site.place == "inputs":
            return NodeQuantizer(self.groups, self.bit_width + (site.layer in self.nonnegative), *NODE_STEPS)
        if site.place == "messages" and site.channels is not None:
            mean, std = MESSAGE_STEPS
            return ChannelQuantizer(site.channels, self.bit_width, local_gradient=True, axis=1, mean=mean, std=std)
        return None
