"""Products that round what they read to bfloat16 and add up in FP32."""

from functools import cached_property

import torch
from torch import Tensor

from gnn.native.activations import Activation
from gnn.native.fastest import NATIVE
from gnn.native.library import kernels, library
from gnn.native.products import PackedWeight, native_product, plain_product


def rounded(values: Tensor) -> Tensor:
    """Numbers to 8 significant bits, halves to even, in the type that they had: a product of two is exact in FP32."""
    return values.to(torch.bfloat16).to(values.dtype)


class Bfloat16Weight(PackedWeight):
    """A weight [in, out] in bfloat16, rounded once; the rows that it multiplies are rounded whenever they are.

    Where the processor has instructions for it a kernel reads 16 bits, two numbers at a time. Products of rounded
    numbers in FP32 give the same.
    """

    kind = "bfloat16 product"

    def __init__(self, weight: Tensor) -> None:
        super().__init__(rounded(weight))
        self._in_fp32 = PackedWeight(self.weight)

    @cached_property
    def panels(self) -> Tensor:
        """The weight in panels of outputs, two input channels side by side."""
        channels, outputs = self.weight.shape
        panel = kernels().panel_width()
        packed = torch.empty(-(-outputs // panel), -(-channels // 2), panel, 2, dtype=torch.int16)
        whole = self.weight.contiguous()
        kernels().pack_bfloat16(whole.data_ptr(), channels, outputs, packed.data_ptr())
        return packed

    def _offered(self) -> list[str]:
        return ["fp32"] if library() is None else ["fp32", NATIVE]

    def _by(self, way: str, features: Tensor, base: Tensor | None, activation: Activation) -> Tensor:
        if way == NATIVE:
            kernel, weight = kernels().product_bfloat16, (self.panels.data_ptr(),)
            out = native_product(kernel, weight, features, base, activation, self.weight.shape[1])
            if out is not None:
                return out
        return self._in_fp32.product(rounded(features), base, activation)

    def _plain(self, features: Tensor, base: Tensor | None, activation: Activation) -> Tensor:
        return plain_product(rounded(features), self.weight, base, activation)
