"""bfloat16: half the bytes of FP32 with its exponents, and products that some processors compute twice as fast."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from gnn.compression.context import Compressed, Context
from gnn.compression.masks import Masks
from gnn.compression.registry import register_method
from gnn.quantization.bfloat16 import BITS, bfloat16_weights, left_in_fp32
from gnn.quantization.description import BFLOAT16, Quantization


@dataclass(frozen=True)
class Bf16:
    """Weights, and the inputs of products, in bfloat16; there is nothing to set."""

    method: ClassVar[str] = "bf16"
    can_be_fine_tuned: ClassVar[bool] = False

    @property
    def compresses(self) -> bool:
        """Every weight loses 16 bits."""
        return True

    def id_parts(self) -> tuple[str, ...]:
        """It has no settings."""
        return ()


def _in_bfloat16(model: nn.Module) -> nn.Module:
    quantization = Quantization(BFLOAT16, BITS)
    return quantization.to_integers(quantization.apply(model))


@register_method(Bf16, lambda model, _settings, _context: _in_bfloat16(model))
@torch.no_grad()
def round_to_bfloat16(model: nn.Module, settings: Bf16, context: Context) -> Compressed:
    """Round weights once, and the inputs of products whenever they are computed; add up in FP32.

    x W = sum of round(x) round(W), of which each term is exact in FP32. That is what instructions for bfloat16 compute,
    so that the accuracy is theirs wherever it is measured. What a product gives is FP32, and so are sums.
    Source: Kalamkar et al., arXiv 1905.12322.
    """
    rounded = _in_bfloat16(model).eval()
    return Compressed(rounded, Masks(), quantized=bfloat16_weights(rounded), untouched=left_in_fp32(rounded))
