"""The yardstick for A2Q: its GIN as the official code reads, with a matrix of all nodes and all groups."""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.yardsticks.plain_quantized_gin import mean_over_nodes
from gnn.layers.feature_scaling import scale_features
from gnn.models.families import GraphClassifier
from gnn.models.gin import GinSettings
from gnn.tasks import GraphBatch, GraphClassification

MEMORY_WEIGHT = 0.001
MEMORY_TARGET_KIB = 1.0
BITS_PER_KIB = 8 * 1024


class RowQuantizer(nn.Module):
    """Quantizes each row with a learned step size and a learned bit-width of its own.

    y = sign(x) floor(min(|x| / s, h) + 1/2) s with h = 2^(b - 1) - 1, b the rounded bit-width. With `local_gradient`
    the step size follows the mean sign of the error of its row instead of the incoming gradient.
    Source: A2Q (arXiv 2302.00193), quantize_function/u_quant_gc_bit_debug.py.
    Shapes: [rows, columns], the same out as in; step, bits [rows, 1].
    """

    def __init__(self, rows: int, bit_width: int, deviation: float, *, local_gradient: bool = False) -> None:
        super().__init__()
        self.local_gradient = local_gradient
        self.step = nn.Parameter(torch.normal(0.01, deviation, (rows, 1)).abs())
        self.bits = nn.Parameter(torch.full((rows, 1), float(bit_width)))

    def forward(self, values: Tensor) -> Tensor:
        """Quantize and dequantize."""
        return _QuantizeRows.apply(values, self.step, self.bits, self.local_gradient)  # pyright: ignore[reportReturnType]


class NodeQuantizer(nn.Module):
    """Quantizes each node with the group of step size and bit-width whose largest value is nearest to the node's.

    group(v) = argmin over k of (max_c |x_vc| - 2^(b_k - 1) s_k)^2.
    Source: A2Q, quantize_function/get_scale_index.py, all groups open to every node.
    Shapes: features [nodes, channels], the same out as in; step, bits [groups, 1].
    """

    def __init__(self, groups: int, bit_width: int) -> None:
        super().__init__()
        self.step = nn.Parameter(torch.normal(0.01, 0.1, (groups, 1)).abs())
        self.bits = nn.Parameter(torch.full((groups, 1), float(bit_width)))

    def forward(self, features: Tensor, memory: list[Tensor]) -> Tensor:
        """Quantize and dequantize; the KiB of one node of every group in use are added to `memory`."""
        group = self.nearest_group(features)
        memory.append(features.shape[1] * self.bits[group.unique()].sum() / BITS_PER_KIB)
        step, bits = self.step.index_select(0, group), self.bits.index_select(0, group)
        return _QuantizeNodes.apply(features, step, bits, False)  # pyright: ignore[reportReturnType]

    @torch.no_grad()
    def nearest_group(self, features: Tensor) -> Tensor:
        """The number of every node's group, [nodes]; the first of equally near ones."""
        largest = features.abs().max(dim=1).values[:, None]
        reach = 2 ** (self.bits.abs().round() - 1) * self.step.abs()
        return ((largest - reach.t()) ** 2).argmin(dim=1)


class PlainA2qLinear(nn.Module):
    """A linear layer with weights quantized per output channel and, where they have bits, inputs per node.

    Source: A2Q, QLinear in quantize_function/u_quant_gc_bit_debug.py.
    Shapes: [nodes, in_channels] -> [nodes, out_channels].
    """

    def __init__(
        self, in_channels: int, out_channels: int, bit_width: int, input_bits: int | None, groups: int
    ) -> None:
        super().__init__()
        self.linear = nn.Linear(in_channels, out_channels)
        self.weights = RowQuantizer(out_channels, bit_width, 0.1)
        self.inputs = None if input_bits is None else NodeQuantizer(groups, input_bits)

    def forward(self, features: Tensor, memory: list[Tensor]) -> Tensor:
        """Quantize, then multiply."""
        weight = self.weights(self.linear.weight)
        if self.inputs is not None:
            features = self.inputs(features, memory)
        return functional.linear(features, weight, self.linear.bias)


class PlainA2qConvolution(nn.Module):
    """A quantized graph isomorphism convolution: out_i = MLP(q_i + sum of q_j over the edges j -> i), q = Q(x).

    MLP = Linear, ReLU, Linear, ReLU, both linear layers quantized. Q has a step size per channel; the first convolution
    has none, as its features are not quantized.
    Source: A2Q, quantize_function/MessagePassing_gc_bit.py, with eps = 0 as in `gnn.models.gin`.
    Shapes: features [nodes, in_channels], edge_index [2, edges] -> [nodes, out_channels].
    """

    def __init__(self, widths: tuple[int, int, int], bit_width: int, groups: int, *, first: bool) -> None:
        super().__init__()
        in_channels, inner, out_channels = widths
        self.messages = None if first else RowQuantizer(in_channels, bit_width, 0.01, local_gradient=True)
        self.lin1 = PlainA2qLinear(in_channels, inner, bit_width, None if first else bit_width, groups)
        # Behind a ReLU the bit of the sign is free.
        self.lin2 = PlainA2qLinear(inner, out_channels, bit_width, bit_width + 1, groups)

    def forward(self, features: Tensor, edge_index: Tensor, memory: list[Tensor]) -> Tensor:
        """Gather a message per edge, add them up per target, transform."""
        source, target = edge_index
        if self.messages is not None:
            features = self.messages(features.t()).t()
        aggregate = torch.zeros_like(features).index_add(0, target, features.index_select(0, source))
        hidden = _relu(self.lin1(features + aggregate, memory))
        return _relu(self.lin2(hidden, memory))


class PlainA2qGin(GraphClassifier):
    """GIN quantized with learned step sizes and bit-widths, in plain eager PyTorch.

    The loss is the cross-entropy + 0.001 ReLU(memory - 1)^2, memory the KiB of one node of every group in use, added up
    over the layers. There is no dropout, as in the official code.

    It is kinder than the official code, which removes self-loops in every layer, has a trained eps and goes backward
    once for each term of the loss. A step size that training makes negative counts by its magnitude here; for weights
    and messages the official code then takes every value for one beyond the largest code.
    Source: A2Q (arXiv 2302.00193), qGIN in lr_gin_reddit_binary.py.
    Shapes: logits [graphs, out_channels].
    """

    def __init__(self, settings: GinSettings, bit_width: int = 4, groups: int = 1000) -> None:
        super().__init__()
        self.settings = settings
        self.convs = nn.ModuleList()
        for (in_channels, out_channels), inner in zip(settings.widths, settings.inner_widths, strict=True):
            widths = (in_channels, inner, out_channels)
            self.convs.append(PlainA2qConvolution(widths, bit_width, groups, first=not self.convs))
        self.norms = nn.ModuleList(nn.BatchNorm1d(out_channels) for _, out_channels in settings.widths)
        *_, last, classifier = settings.hidden_widths
        self.lin1 = PlainA2qLinear(last, classifier, bit_width, bit_width, groups)
        self.lin2 = PlainA2qLinear(classifier, settings.out_channels, bit_width, bit_width + 1, groups)

    def forward(self, batch: GraphBatch) -> Tensor:
        """Logits of every graph of the batch."""
        return self.logits_and_memory(batch)[0]

    def logits_and_memory(self, batch: GraphBatch) -> tuple[Tensor, Tensor]:
        """Logits [graphs, out_channels], and the memory [] that the penalty is about."""
        memory: list[Tensor] = []
        hidden = scale_features(batch.features, self.settings.feature_scaling)
        for convolution, norm in zip(self.convs, self.norms, strict=True):
            hidden = norm(convolution(hidden, batch.edge_index, memory))
        hidden = functional.relu(self.lin1(mean_over_nodes(hidden, batch), memory))
        return self.lin2(hidden, memory), torch.stack(memory).sum()

    def losses(self, task: GraphClassification, inputs: Any, batch_size: int | None) -> Iterator[Tensor]:  # noqa: ANN401, ARG002
        """The mean cross-entropy and the penalty of one shuffled batch after the other."""
        for batch in self.training_batches(task, batch_size):
            logits, memory = self.logits_and_memory(batch)
            penalty = MEMORY_WEIGHT * functional.relu(memory - MEMORY_TARGET_KIB) ** 2
            yield functional.cross_entropy(logits, batch.labels) + penalty


class _QuantizeRows(torch.autograd.Function):
    """The gradients that A2Q defines: straight through to the values, by rounding error or saturation to the rest."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, step: Tensor, bits: Tensor, local_gradient: bool) -> Tensor:  # noqa: ANN401
        step = step.abs()
        highest = (2 ** (bits.abs().round() - 1) - 1).expand_as(values)
        ratio = values / step
        above, below = ratio > highest, ratio < -highest
        ratio[above] = highest[above]
        ratio[below] = -highest[below]
        code = (ratio.abs() + 0.5).floor() * values.sign()
        ctx.local_gradient = local_gradient
        ctx.save_for_backward(values, step, highest, ratio, code)
        return code * step

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:  # noqa: ANN401
        values, step, highest, ratio, code = ctx.saved_tensors
        inside = (values.abs() <= highest * step).float()
        by_step = (code - ratio) * inside + (1 - inside) * highest * values.sign()
        by_bits = (1 - inside) * values.sign() * (highest + 1) * math.log(2) * step
        if ctx.local_gradient:
            step_gradient = ((code * step - values).sign() * by_step).mean(dim=1, keepdim=True)
        else:
            step_gradient = (gradients[0] * by_step).sum(dim=1, keepdim=True)
        return gradients[0], step_gradient, (gradients[0] * by_bits).sum(dim=1, keepdim=True), None


class _QuantizeNodes(_QuantizeRows):
    """Clips the gradient as well, though in vain: the official code asks for ratios that are clamped already."""

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:  # noqa: ANN401
        _, _, highest, ratio, _ = ctx.saved_tensors
        gradient = gradients[0]
        gradient[ratio < -highest] = 0
        gradient[ratio > highest] = 0
        return _QuantizeRows.backward(ctx, gradient)


def _relu(features: Tensor) -> Tensor:
    """A ReLU in place, by a mask."""
    features[features < 0] = 0
    return features
