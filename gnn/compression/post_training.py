"""Post-training quantization: a trained model on integers, calibrated and not trained again."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from gnn.compression.context import Compressed, Context
from gnn.compression.masks import Masks
from gnn.compression.quantized_training import on_integers
from gnn.compression.registry import register_method
from gnn.quantization.description import Quantization, empty_integer_model
from gnn.quantization.fake_quantize import require_bit_width
from gnn.quantization.tensor_quantizer import TensorQuantizer


@dataclass(frozen=True)
class PostTraining:
    """Bits of a code; raises `SettingError` out of range."""

    method: ClassVar[str] = "post-training"
    can_be_fine_tuned: ClassVar[bool] = False
    bit_width: int = 8

    def __post_init__(self) -> None:
        require_bit_width(self.bit_width)

    @property
    def compresses(self) -> bool:
        """Every weight becomes a code."""
        return True

    def id_parts(self) -> tuple[str, ...]:
        """The settings as they stand in a case id, such as ("int8",)."""
        return (f"int{self.bit_width}",)


def _quantization(settings: PostTraining) -> Quantization:
    return Quantization("channel", settings.bit_width)


@register_method(PostTraining, lambda model, settings, _context: empty_integer_model(model, _quantization(settings)))
def quantize_trained(model: nn.Module, settings: PostTraining, context: Context) -> Compressed:
    """Quantize weights by output channel, and the inputs of products over the range of the training part.

    Weights are symmetric. What a product gives is FP32, and so are sums.
    Source: Krishnamoorthi, arXiv 1806.08342, sections 2.2 and 3.1.1.
    """
    quantization = _quantization(settings)
    calibrate(quantization.apply(model), context)
    return on_integers(Compressed(model, Masks()), quantization)


@torch.no_grad()
def calibrate(model: nn.Module, context: Context) -> None:
    """Show the training part, or the example, to the quantizers; nothing else learns from it."""
    model.eval()
    for module in model.modules():
        if isinstance(module, TensorQuantizer):
            module.train()
    context.run(model)
    model.eval()
