"""Products with weights and sums over neighbours, the two operations that integers can take over."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from gnn.layers import CsrMatrix, NormalizedAdjacency
from gnn.layers.hgpsl_convolution import aggregate
from gnn.quantization.scheme import Scheme, Site, quantizer_at
from gnn.quantization.tensor_quantizer import TensorQuantizer


class Product(nn.Module):
    """features(inputs(x) W + b), with a quantizer before and one after; weights are quantized where they are kept.

    `weights` names those of its layer that it takes, side by side; of the layer within, as in "lin.weight", it takes
    all there is.
    Shapes: x [rows, in_channels], dense or a `CsrMatrix`, whose zeros stay zeros; weight() [in_channels, out_channels];
    bias [out_channels].
    """

    def __init__(
        self,
        scheme: Scheme,
        in_channels: int,
        out_channels: int,
        *,
        of_nodes: bool,
        weights: tuple[str, ...] = ("weight",),
    ) -> None:
        super().__init__()
        self.out_channels, self.weights = out_channels, weights
        self.inputs = quantizer_at(scheme, Site("inputs", in_channels, of_nodes))
        self.features = quantizer_at(scheme, Site("features", out_channels, of_nodes))

    def forward(self, values: Tensor | CsrMatrix, weight: Callable[[], Tensor], bias: Tensor | None = None) -> Tensor:
        """Quantize, multiply, add, quantize."""
        if isinstance(values, CsrMatrix):
            product = quantized_entries(self.inputs, values, values.row) @ weight()
            return self.features(product if bias is None else product + bias)
        rows: Tensor = self.inputs(values)
        return self.features(rows @ weight() if bias is None else torch.addmm(bias, rows, weight()))


class Aggregation(nn.Module):
    """aggregates(norms(A) messages(h)): what nodes send is quantized once per node, not once per edge.

    Where a range of percentiles is tracked every node counts as often as it sends, so that it is that of the messages.
    Without `norms` the matrix is taken for one that only adds up.
    Shapes: matrix (rows, columns), h [columns, channels] -> [rows, channels].
    """

    def __init__(self, scheme: Scheme, channels: int, *, norms: bool = True) -> None:
        super().__init__()
        self.messages = quantizer_at(scheme, Site("messages", channels, of_nodes=True))
        self.norms = quantizer_at(scheme, Site("norms")) if norms else nn.Identity()
        self.aggregates = quantizer_at(scheme, Site("aggregates", channels, of_nodes=True))

    def forward(self, matrix: Any, features: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ANN401
        """Quantize, add up, quantize; the sums, and the messages [columns, channels] that were sent."""
        matrix = weighted_matrix(matrix)
        if isinstance(matrix, CsrMatrix):
            matrix = quantized_entries(self.norms, matrix)
        if isinstance(self.messages, TensorQuantizer) and isinstance(matrix, CsrMatrix):
            features = self.messages(features, matrix.transposition[0].diff())
        else:
            features = self.messages(features)
        total = aggregate(matrix, features) if isinstance(matrix, CsrMatrix) else matrix @ features
        return self.aggregates(total), features


def weighted_matrix(matrix: Any) -> Any:  # noqa: ANN401
    """A normalised adjacency with its two scalings as values of the matrix between them; others as they are."""
    if type(matrix) is not NormalizedAdjacency:
        return matrix
    target, source = matrix.target_scale.flatten(), matrix.source_scale.flatten()
    return matrix.sum.with_value(target[matrix.sum.row] * source[matrix.sum.column])


def quantized_entries(quantizer: nn.Module, matrix: CsrMatrix, node_of_entry: Tensor | None = None) -> CsrMatrix:
    """The matrix with its values [nonzeros] on a grid; what is not stored is zero and stays so."""
    if isinstance(quantizer, nn.Identity):
        return matrix
    column = matrix.value[:, None]
    if isinstance(quantizer, TensorQuantizer):
        column = quantizer(column, node_of_row=node_of_entry)
    else:
        column = quantizer(column)
    # Gradients need the transposed pattern, which only the matrix itself outlives a pass to remember.
    if torch.is_grad_enabled():
        return matrix.with_value(column[:, 0])
    return replace(matrix, value=column[:, 0])
