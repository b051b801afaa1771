"""Products and sums over neighbours that really run on integers."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from gnn.layers import CsrMatrix
from gnn.quantization.fake_quantize import Codes
from gnn.quantization.integer_kernels import INT8_SHIFT, int8_product, multiplies_bytes, whole_product
from gnn.quantization.integer_weight import IntegerWeight
from gnn.quantization.product import Aggregation, Product, weighted_matrix

LARGEST_INT8, SMALLEST_INT8 = 127, -128
# Of an input less its zero: codes have at most 8 bits.
LARGEST_CODE = 255


@dataclass(frozen=True, eq=False)
class _Matrix:
    """Weights [in, out] as the kernels take them: code - zero = int8 + offset, with one offset per output.

    Shapes: int8 [out, in]; offset and column_sums [out] int32; scale [out] or [1]; centred [in, out], whole numbers of
    at most the magnitude `largest` in float32.
    """

    int8: Tensor
    offset: Tensor
    column_sums: Tensor
    scale: Tensor
    centred: Tensor
    largest: float
    shifted: bool

    @classmethod
    def of(cls, parts: list[tuple[Tensor, Tensor]]) -> "_Matrix":
        """Parts side by side, each as its codes [in, out] and its scales [out]."""
        centred = torch.cat([codes for codes, _ in parts], dim=1)
        lowest, highest = centred.min(0).values, centred.max(0).values
        # Codes of 8 bits around a zero that is not in their middle are moved into int8, all others fit as they are.
        offset = torch.where((lowest < SMALLEST_INT8) | (highest > LARGEST_INT8), highest - LARGEST_INT8, 0)
        int8 = (centred - offset).to(torch.int8)
        return cls(
            int8=int8.t().contiguous(),
            offset=offset.to(torch.int32),
            column_sums=int8.sum(0, dtype=torch.int32),
            scale=torch.cat([scale for _, scale in parts]),
            centred=centred.float(),
            largest=max(1.0, float(centred.abs().max())),
            shifted=bool(offset.any()),
        )


class IntegerProduct(nn.Module):
    """The product of a quantized layer on whole numbers; its result is FP32 again.

    x W = scale_x scale_W * (sum of (q_x - z_x) (q_W - z_W)), of which the sum is whole numbers and exact: bytes added
    up in int32 where this processor is fast at that, else the same numbers in FP32. Sums over the stored entries of a
    sparse matrix run as an embedding bag, which adds whole numbers in FP32: exact below 2^24.
    What stands before and after it are the quantizers of the simulated product. Raises `SettingError` for inputs that
    are not quantized.
    """

    def __init__(self, product: Product, weights: list[IntegerWeight], names: list[str]) -> None:
        super().__init__()
        self.inputs, self.features = product.inputs, product.features
        self.weights, self.names = nn.ModuleList(weights), names
        self._matrix: _Matrix | None = None

    def forward(self, values: Tensor | CsrMatrix, weight: Callable[[], Tensor], bias: Tensor | None = None) -> Tensor:  # noqa: ARG002
        """Quantize, multiply whole numbers, scale, add, quantize; the weights come from here."""
        product = self.multiply(values)
        return self.features(product if bias is None else product.add_(bias))

    def multiply(self, values: Tensor | CsrMatrix) -> Tensor:
        """Quantize, multiply whole numbers, scale."""
        return self._sparse(values) if isinstance(values, CsrMatrix) else self._dense(values)

    def _dense(self, values: Tensor) -> Tensor:
        matrix, held = self.matrix, self.inputs.codes(values)  # pyright: ignore[reportCallIssue]
        if multiplies_bytes(held.codes):
            total = _byte_sums(matrix, held).float()
        else:
            whole = held.codes.sub_(held.zero_point) if held.zero_point else held.codes
            total = whole_product(whole, matrix.centred, LARGEST_CODE * matrix.largest).float()
        return total.mul_(held.scale * matrix.scale)

    def _sparse(self, values: CsrMatrix) -> Tensor:
        matrix, held = self.matrix, self.inputs.codes(values.value[:, None])  # pyright: ignore[reportCallIssue]
        whole, scale = held.codes.sub_(held.zero_point), held.scale
        if scale.dim():
            # Entries with scales of their own cannot be added up before they are scaled.
            whole, scale = whole.mul_(scale), 1.0
        return (replace(values, value=whole[:, 0]) @ matrix.centred).mul_(scale * matrix.scale)

    @property
    def matrix(self) -> _Matrix:
        """The weights as the kernels take them, made at the first call."""
        if self._matrix is None:
            self._matrix = _Matrix.of([part for weight in self.weights for part in _columns(weight)])
        return self._matrix

    def _load_from_state_dict(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401
        # A parent's load_state_dict comes here, too: other weights make another matrix.
        self._matrix = None
        super()._load_from_state_dict(*arguments, **named)


def _byte_sums(matrix: _Matrix, held: Codes) -> Tensor:
    """The sums of (q_x - z_x) (q_W - z_W), [rows, out] int32, from products of bytes."""
    shift = INT8_SHIFT if held.unsigned else 0
    int8 = (held.codes.sub_(shift) if shift else held.codes).to(torch.int8)
    total = int8_product(int8, matrix.int8)
    if zero := held.zero_point - shift:
        total -= zero * (matrix.column_sums + int8.shape[1] * matrix.offset)
    if matrix.shifted:
        total += int8.sum(1, dtype=torch.int32)[:, None] * matrix.offset
    return total


def _columns(weight: Any) -> list[tuple[Tensor, Tensor]]:  # noqa: ANN401
    """The codes of a weight as blocks [in, out], and the scales of each block's outputs.

    A vector of attention [1, 2 * channels] is read as its halves, the kernel of a spline convolution point by point.
    """
    codes = weight.codes
    if codes.dim() == 3:
        blocks = list(codes)
    elif weight.output_axis == 1:
        blocks = [codes]
    else:
        blocks = [codes.view(weight.outputs, -1).t()]
    return [(block, weight.scale.expand(block.shape[1])) for block in blocks]


class IntegerAggregation(nn.Module):
    """Sums over neighbours of whole numbers: codes of messages, times codes of norms where edges have any.

    scale * (sum of (q_norm - z_norm) (q_message - z_message)). An embedding bag adds them up in FP32, which holds
    whole numbers exactly below 2^24; PyTorch has no such kernel for bytes. The quantizers are those of the simulation.
    Without `returns_messages` nobody asks for what was sent, and the features themselves are given in its place.
    """

    def __init__(self, aggregation: Aggregation, *, returns_messages: bool) -> None:
        super().__init__()
        self.returns_messages = returns_messages
        self.messages, self.norms = aggregation.messages, aggregation.norms
        self.aggregates = aggregation.aggregates

    def forward(self, matrix: Any, features: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ANN401
        """Quantize, add up whole numbers, scale, quantize; the sums, and the messages that were sent."""
        matrix = weighted_matrix(matrix)
        if isinstance(matrix, CsrMatrix) and not len(matrix.column) and not self.returns_messages:
            # Where training had no edges either, messages have no range.
            return self.aggregates(features.new_zeros(matrix.shape[0], features.shape[1])), features
        held = self.messages.codes(features)  # pyright: ignore[reportCallIssue]
        scale = held.scale
        if isinstance(matrix, CsrMatrix) and not isinstance(self.norms, nn.Identity):
            norms = self.norms.codes(matrix.value[:, None])  # pyright: ignore[reportCallIssue]
            matrix = replace(matrix, value=norms.codes.sub_(norms.zero_point)[:, 0])
            scale = scale * norms.scale
        whole = held.codes.sub_(held.zero_point)
        sums = self.aggregates((matrix @ whole).mul_(scale))
        return sums, whole.mul_(held.scale) if self.returns_messages else features
