"""The quantizers of A2Q: a step size and a bit width for each channel, or for each group of nodes."""

import torch
from torch import Tensor, nn

from gnn.errors import SettingError
from gnn.quantization.aggregation_aware import (
    RowGrid,
    nearest_group,
    quantize_channels,
    quantize_found_nodes,
    require_finite,
    rounded_bits,
)
from gnn.quantization.fake_quantize import MOST_BITS, Codes, require_bit_width


class LearnedQuantizer(nn.Module):
    """A step size and a bit width for each of several rows."""

    step_size: nn.Parameter
    bit: nn.Parameter

    @torch.no_grad()
    def settle(self) -> None:
        """Leave whole bit widths, which are all that counts when nothing is learned any more.

        Raises `SettingError` for codes that an int8 kernel has no room for.
        """
        self.bit.copy_(rounded_bits(self.bit))
        if float(self.bit.max()) > MOST_BITS:
            raise SettingError(
                f"a learned bit width is {float(self.bit.max()):g}; at most {MOST_BITS} run on integers, so raise the "
                "memory penalty"
            )


class ChannelQuantizer(LearnedQuantizer):
    """Quantizes weights or node features with a step size and a bit width for every channel.

    The step sizes start as |N(mean, std)| and the bit widths as bit_width; both are parameters [channels, 1].

    Source: A2Q, arXiv 2302.00193. Equations: `quantize_channels`.
    Shapes: x [..., channels, ...] with the channels along `axis`, 0 for weights [out, in], 1 for features -> as x.
    Raises SettingError when bit_width is not 2 to 8, and in forward when x holds NaN or infinite values.
    """

    def __init__(
        self, channels: int, bit_width: int, *, local_gradient: bool, axis: int, mean: float = 0.01, std: float = 0.1
    ) -> None:
        super().__init__()
        self.local_gradient, self.axis = local_gradient, axis
        self.step_size, self.bit = _initial_parameters(channels, bit_width, mean, std)

    def forward(self, x: Tensor) -> Tensor:
        """Quantize x along the axis."""
        rows, local_gradient = self._rows(x), self.local_gradient
        return self._as_input(quantize_channels(rows, self.step_size, self.bit, local_gradient=local_gradient), x)

    @torch.no_grad()
    def codes(self, x: Tensor) -> Codes:
        """Whole numbers shaped as x, and the scale of every channel; their product is the forward."""
        require_finite(x)
        grid = RowGrid.of(self.step_size, self.bit)
        shape = [1] * x.dim()
        shape[self.axis] = -1
        return Codes(self._as_input(grid.round(self._rows(x))[0], x), grid.scale.reshape(shape))

    @property
    def scales(self) -> int:
        """One scale for each channel."""
        return len(self.step_size)

    @property
    def weight_bits(self) -> int:
        """Bits that hold every code of a weight."""
        return int(rounded_bits(self.bit).max())

    def _rows(self, x: Tensor) -> Tensor:
        return x.movedim(self.axis, 0).reshape(x.shape[self.axis], -1)

    def _as_input(self, rows: Tensor, x: Tensor) -> Tensor:
        return rows.reshape(x.movedim(self.axis, 0).shape).movedim(0, self.axis)


class NodeQuantizer(LearnedQuantizer):
    """Quantizes node features with the step size and the bit width of the group that is nearest to every node.

    The step sizes start as |N(mean, std)| and the bit widths as bit_width; both are parameters [groups, 1]. The groups
    of the latest input are kept in `last_group`, [nodes] int64.

    Source: A2Q, arXiv 2302.00193. Equations: `nearest_group` and `quantize_nodes`.
    Shapes: x [nodes, channels] -> [nodes, channels].
    Raises SettingError when bit_width is not 2 to 8, and in forward when x holds NaN or infinite values.
    """

    def __init__(self, groups: int, bit_width: int, mean: float, std: float) -> None:
        super().__init__()
        self.step_size, self.bit = _initial_parameters(groups, bit_width, mean, std)
        self.last_group = torch.zeros(0, dtype=torch.int64)
        self._last_channels = 0

    @property
    def memory_kb(self) -> Tensor:
        """Kibibytes of one node in every group the latest input used, with unrounded widths; differentiable in `bit`.

        memory = channels * sum over the used groups of bit / 8 / 1024
        """
        # Computed when asked for: a kept tensor would hold the graph of the latest step and forbid deep copies.
        used = torch.zeros_like(self.bit).index_fill_(0, self.last_group, 1.0)
        return self._last_channels * (self.bit * used).sum() / 8 / 1024

    def forward(self, x: Tensor) -> Tensor:
        """Find the group of every node and quantize the node with it."""
        self.last_group, self._last_channels = nearest_group(x, self.step_size, self.bit), x.shape[1]
        return quantize_found_nodes(x, self.step_size, self.bit, self.last_group)

    @torch.no_grad()
    def codes(self, x: Tensor) -> Codes:
        """Whole numbers [nodes, channels] and the scale of every node [nodes, 1]."""
        self.last_group, self._last_channels = nearest_group(x, self.step_size, self.bit), x.shape[1]
        grid = RowGrid.of(self.step_size, self.bit).of_groups(self.last_group)
        return Codes(grid.round(x)[0], grid.scale)


def _initial_parameters(rows: int, bit_width: int, mean: float, std: float) -> tuple[nn.Parameter, nn.Parameter]:
    require_bit_width(bit_width)
    step_size = torch.normal(mean, std, (rows, 1)).abs()
    return nn.Parameter(step_size), nn.Parameter(torch.full((rows, 1), float(bit_width)))
