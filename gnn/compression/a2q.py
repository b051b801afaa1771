"""A2Q: aggregation-aware quantization, where groups of nodes learn how many bits they need."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from gnn.compression.context import Compressed, Context
from gnn.compression.quantized_training import QuantizedTraining, train_quantized
from gnn.compression.registry import register_method
from gnn.determinism import deterministic
from gnn.errors import SettingError
from gnn.models import MODELS
from gnn.quantization.description import Quantization, empty_integer_model
from gnn.quantization.fake_quantize import MOST_BITS, require_bit_width
from gnn.quantization.learned_quantizer import ChannelQuantizer, NodeQuantizer
from gnn.quantization.quantized_model import nonnegative_inputs, quantized_weights

GROUPS = 1000
STEP_RATE, MESSAGE_STEP_RATE, BIT_RATE = 0.02, 0.01, 0.008


@dataclass(frozen=True)
class A2q:
    """Bits that every group starts with, and the memory that they are drawn towards.

    Loss = that of the task + `memory_weight` * max(0, memory - `memory_kb`)^2. Raises `SettingError` out of range.
    """

    method: ClassVar[str] = "a2q"
    can_be_fine_tuned: ClassVar[bool] = False
    bit_width: int = 4
    memory_weight: float = 1e-3
    memory_kb: float = 1.0

    def __post_init__(self) -> None:
        require_bit_width(self.bit_width)
        if self.bit_width == MOST_BITS:
            raise SettingError(f"bit_width {MOST_BITS} leaves no bit more for inputs without a sign; give less")
        for name in ("memory_weight", "memory_kb"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not 0 <= value < math.inf:
                raise SettingError(f"{name} {value!r} must be a number not below 0, such as 1")

    @property
    def compresses(self) -> bool:
        """Every weight becomes a code."""
        return True

    def id_parts(self) -> tuple[str, ...]:
        """What differs from the one setting that is benched, such as ("int2",)."""
        named = {"bit_width": "int", "memory_weight": "w", "memory_kb": "kb"}
        values = {
            f"{short}{getattr(self, name):g}": getattr(self, name) != getattr(A2q, name)
            for name, short in named.items()
        }
        return tuple(part for part, differs in values.items() if differs)


def a2q_quantization(model_name: str, settings: A2q, nonnegative: tuple[str, ...] = ()) -> Quantization:
    """How a registered model is quantized by groups of nodes."""
    registered = MODELS[model_name]
    return Quantization(
        kind="node-group",
        bit_width=settings.bit_width,
        fp32_layers=registered.fp32_layers,
        fp32_sites=registered.fp32_sites,
        groups=GROUPS,
        nonnegative=nonnegative,
    )


def _check(model: nn.Module, settings: A2q, context: Context) -> None:
    # Step sizes are drawn.
    with deterministic(context.training.seed):
        empty_integer_model(model, a2q_quantization(context.training.model_name, settings))


@register_method(A2q, _check)
def train_by_groups(model: nn.Module, settings: A2q, context: Context) -> Compressed:
    """Train step sizes and bit widths with the weights, then convert to integers.

    Weights have a step size for each output channel, messages one for each channel, inputs of products one and a bit
    width for each of 1000 groups; a node takes the group whose range is nearest to its largest number, in graphs never
    seen as well. Step sizes learn at 0.02, those of messages at 0.01, bit widths at 0.008 and without weight decay;
    the bits of weights and messages stay.

    Source: Zhu et al., arXiv 2302.00193; A2Q, lr_gin_reddit_binary.py, with 0.001 and 1 for the memory.
    """
    training = context.training
    # Untrained normalisation would not tell a layer's inputs from those after a ReLU.
    nonnegative = nonnegative_inputs(model, training.task)
    quantization = a2q_quantization(training.model_name, settings, nonnegative)

    def structure() -> nn.Module:
        with deterministic(training.seed):
            return quantization.apply(training.initial())

    how = QuantizedTraining(
        structure=structure,
        quantization=quantization,
        parameter_groups=parameter_groups,
        penalty=lambda model: memory_penalty(model, settings),
    )
    return train_quantized(training, how, {"method": A2q.method, **asdict(settings)})


def parameter_groups(model: nn.Module) -> list[dict[str, Any]]:
    """Adam's groups: weights as ever, and what quantizers learn with rates of its own and without weight decay."""
    of_weights = set(map(id, quantized_weights(model).values()))
    groups: list[dict[str, Any]] = []
    learned: set[int] = set()
    for module in model.modules():
        if not isinstance(module, NodeQuantizer | ChannelQuantizer):
            continue
        of_messages = isinstance(module, ChannelQuantizer) and id(module) not in of_weights
        rate = MESSAGE_STEP_RATE if of_messages else STEP_RATE
        groups.append({"params": [module.step_size], "lr": rate, "weight_decay": 0.0})
        if isinstance(module, NodeQuantizer):
            groups.append({"params": [module.bit], "lr": BIT_RATE, "weight_decay": 0.0})
        else:
            module.bit.requires_grad = False
        learned |= {id(module.step_size), id(module.bit)}
    others = [parameter for parameter in model.parameters() if id(parameter) not in learned]
    return [{"params": others}, *groups]


def memory_penalty(model: nn.Module, settings: A2q) -> Callable[[], Tensor]:
    """What is added to the loss: memory_weight * max(0, memory - memory_kb)^2, over all quantizers of inputs."""
    quantizers = [module for module in model.modules() if isinstance(module, NodeQuantizer)]

    def penalty() -> Tensor:
        memory = torch.stack([quantizer.memory_kb for quantizer in quantizers]).sum()
        return settings.memory_weight * torch.relu(memory - settings.memory_kb).square()

    return penalty
