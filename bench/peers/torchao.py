"""torchao, whose layers quantize what they are given in every call."""

import copy
from typing import TypeVar

from torch import nn

from bench.peers.registry import peer
from bench.runtime.subject import Subject
from gnn.errors import SettingError
from gnn.runtime import Inference

Model = TypeVar("Model", bound=nn.Module)


@peer("torchao INT8", "torchao")
def torchao_int8(subject: Subject) -> Inference:
    """Products of INT8 with INT8, ranges found in every call, within the model's own forward pass."""
    model = quantized_copy(subject.model, "Int8DynamicActivationInt8WeightConfig")
    if not any(has_integers(layer) for layer in model.modules()):
        raise SettingError(f"torchao knows none of the layers of {type(subject.model).__name__}")
    return subject.forward(model)


def quantized_copy(dense: Model, config: str) -> Model:
    """The model with every layer that torchao takes for a linear one quantized."""
    from torchao import quantization  # noqa: PLC0415  (not everybody has it)

    model = copy.deepcopy(dense).eval()
    # It would change settings of the whole process otherwise, which only compiled models have any use for.
    quantization.quantize_(model, getattr(quantization, config)(set_inductor_config=False))
    return model


def has_integers(layer: nn.Module) -> bool:
    """Whether a layer's weight is one of torchao's tensors that hold codes."""
    return str(getattr(getattr(getattr(layer, "weight", None), "qdata", None), "dtype", "")) == "torch.int8"
