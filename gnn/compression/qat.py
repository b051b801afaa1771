"""Quantization-aware training: fake quantization while a model is trained from scratch."""

from dataclasses import asdict, dataclass
from typing import ClassVar

from torch import nn

from gnn.compression.context import Compressed, Context
from gnn.compression.quantized_training import QuantizedTraining, by_range, train_quantized
from gnn.compression.range_settings import RangeSettings
from gnn.compression.registry import register_method
from gnn.quantization.description import empty_integer_model


@dataclass(frozen=True)
class Qat(RangeSettings):
    """Bits of a code, how gradients pass and how ranges are tracked."""

    method: ClassVar[str] = "qat"


@register_method(
    Qat, lambda model, settings, context: empty_integer_model(model, by_range(settings.bit_width, context))
)
def train_aware(model: nn.Module, settings: Qat, context: Context) -> Compressed:
    """Train with every weight, input, feature, message, sum and update on an integer grid, then convert to integers.

    Source: the paper, section 2.5.1; Degree-Quant, dq/baseline_quant.py, whose baseline this is.
    """
    training, quantization = context.training, by_range(settings.bit_width, context)
    how = QuantizedTraining(lambda: quantization.apply(training.initial(), settings.quantizer), quantization)
    return train_quantized(training, how, {"method": Qat.method, **asdict(settings)})
