"""The yardstick for quantization-aware training and Degree-Quant: GIN as the official code reads."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.yardsticks.plain_quantizer import PlainQuantizer
from gnn.layers.feature_scaling import scale_features
from gnn.models.families import GraphClassifier
from gnn.models.gin import GinSettings
from gnn.tasks import GraphBatch

NewQuantizer = Callable[..., PlainQuantizer]


class PlainQuantizedLinear(nn.Linear):
    """A linear layer whose inputs, weights and outputs are quantized: out = Q(Q(x) Q(W)^T + b).

    Inputs that are never negative, behind a ReLU, have unsigned codes.
    Source: Degree-Quant, dq/linear_quantized.py.
    Shapes: [rows, in_channels] -> [rows, out_channels].
    """

    def __init__(
        self, in_channels: int, out_channels: int, new_quantizer: NewQuantizer, *, signed: bool = True
    ) -> None:
        super().__init__(in_channels, out_channels)
        self.inputs = new_quantizer(signed=signed)
        self.weights = new_quantizer()
        self.features = new_quantizer()

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """Quantize, multiply, quantize."""
        return self.features(functional.linear(self.inputs(input), self.weights(self.weight), self.bias))


class PlainQuantizedGinConvolution(nn.Module):
    """A quantized graph isomorphism convolution: out_i = Q(MLP(x_i + Q(sum of Q(x_j) over the edges j -> i))).

    Rows of protected nodes, and messages that come from them, are not quantized; the MLP does not know of protection.
    Source: Degree-Quant, dq/baseline_quant.py and dq/multi_quant.py, with eps = 0 as in `gnn.models.gin`.
    Shapes: features [nodes, in_channels], edge_index [2, edges], protected [nodes] bool -> [nodes, out_channels].
    """

    def __init__(self, first: nn.Linear, out_channels: int, new_quantizer: NewQuantizer) -> None:
        super().__init__()
        self.nn = nn.Sequential(
            first,
            nn.ReLU(),
            PlainQuantizedLinear(first.out_features, out_channels, new_quantizer, signed=False),
            nn.ReLU(),
            nn.BatchNorm1d(out_channels),
        )
        self.message = new_quantizer()
        self.aggregate = new_quantizer()
        self.update = new_quantizer()

    def forward(self, features: Tensor, edge_index: Tensor, protected: Tensor | None) -> Tensor:
        """Gather a message per edge, add them up per target, transform."""
        source, target = edge_index
        message_protected = None if protected is None else protected.index_select(0, source)
        messages = _quantize(self.message, features.index_select(0, source), message_protected)
        aggregate = torch.zeros_like(features).index_add(0, target, messages)
        aggregate = _quantize(self.aggregate, aggregate, protected)
        return _quantize(self.update, self.nn(features + aggregate), protected)


class PlainQuantizedGin(GraphClassifier):
    """GIN with everything but its first linear layer quantized, in plain eager PyTorch.

    `new_quantizer` gives a fresh quantizer, signed or, with `signed=False`, unsigned. With `degree_quant` a node of
    high degree escapes quantization in a training pass with a probability between the two of `protection`, drawn once
    for all layers; see `protection_probability`. Evaluation quantizes every node.

    It is kinder than the official code, which removes self-loops in every layer and has a trained eps.
    Source: Degree-Quant (arXiv 2008.05000), reddit_binary/gin.py.
    Shapes: logits [graphs, out_channels].
    """

    def __init__(
        self,
        settings: GinSettings,
        new_quantizer: NewQuantizer,
        *,
        degree_quant: bool = False,
        protection: tuple[float, float] = (0.0, 0.1),
    ) -> None:
        super().__init__()
        self.settings = settings
        self.degree_quant = degree_quant
        self.protection = protection
        self.convs = nn.ModuleList()
        for (in_channels, out_channels), inner in zip(settings.widths, settings.inner_widths, strict=True):
            first = (
                PlainQuantizedLinear(in_channels, inner, new_quantizer) if self.convs else nn.Linear(in_channels, inner)
            )
            self.convs.append(PlainQuantizedGinConvolution(first, out_channels, new_quantizer))
        *_, last, classifier = settings.hidden_widths
        self.lin1 = PlainQuantizedLinear(last, classifier, new_quantizer)
        self.lin2 = PlainQuantizedLinear(classifier, settings.out_channels, new_quantizer, signed=False)

    def forward(self, batch: GraphBatch) -> Tensor:
        """Logits of every graph of the batch."""
        protected = self.draw_protected(batch) if self.degree_quant and self.training else None
        hidden = scale_features(batch.features, self.settings.feature_scaling)
        for convolution in self.convs:
            hidden = convolution(hidden, batch.edge_index, protected)
        hidden = functional.relu(self.lin1(mean_over_nodes(hidden, batch)))
        return self.lin2(functional.dropout(hidden, self.settings.dropout, self.training))

    def draw_protected(self, batch: GraphBatch) -> Tensor:
        """Which nodes stay FP32 in one training pass, [nodes] bool."""
        return torch.bernoulli(protection_probability(batch, *self.protection)).bool()


def protection_probability(batch: GraphBatch, low: float, high: float) -> Tensor:
    """The probability that a node is protected, larger for nodes that many messages reach.

    p(v) = low + (high - low) #{u in the graph of v: in-degree(u) <= in-degree(v)} / (nodes of the graph of v).
    Source: Degree-Quant, dq/transforms.py.
    Shapes: [nodes].
    """
    graph = batch.graph_of_node
    degree = torch.bincount(batch.edge_index[1], minlength=len(graph))
    key = graph * (degree.max() + 1) + degree
    up_to = torch.searchsorted(key.sort().values, key, right=True) - batch.node_pointer[graph]
    return low + (high - low) * up_to / batch.node_pointer.diff()[graph]


def mean_over_nodes(features: Tensor, batch: GraphBatch) -> Tensor:
    """The mean of every graph's nodes; features [nodes, channels] -> [graphs, channels]."""
    total = features.new_zeros(len(batch.labels), features.shape[1]).index_add(0, batch.graph_of_node, features)
    return total / batch.node_pointer.diff().clamp(min=1)[:, None]


def _quantize(quantizer: PlainQuantizer, features: Tensor, protected: Tensor | None) -> Tensor:
    if protected is None:
        return quantizer(features)
    out = torch.empty_like(features)
    out[protected] = features[protected]
    out[~protected] = quantizer(features[~protected])
    return out
