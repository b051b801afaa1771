"""From a trained quantized model to one that runs on integers, and back to plain weights."""

import copy
from collections.abc import Iterable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from gnn.layers.rules import axis_of_outputs, quantized
from gnn.models import unwrapped_model
from gnn.quantization.integer_layers import IntegerAggregation, IntegerProduct
from gnn.quantization.integer_weight import IntegerWeight
from gnn.quantization.learned_quantizer import LearnedQuantizer
from gnn.quantization.product import Aggregation, Product
from gnn.quantization.pyg_layers import QuantizedMessagePassing
from gnn.quantization.quantized_model import nothing_to_quantize, taken_weights, weights_in_fp32, within
from gnn.quantization.tensor_quantizer import TensorQuantizer

Model = TypeVar("Model", bound=nn.Module)


def convert(model: Model, *, structure_bits: int | None = None) -> Model:
    """A copy of a quantized model with integer weights, integer products and integer sums over neighbours.

    It computes what the model computes in evaluation, up to the rounding of FP32 sums in the simulation, which may move
    a number that lies between two steps of the next grid by one step. What no integers can take over stays in FP32 as
    it was simulated, and `untouched_layers` says why. With `structure_bits` only the structure is made, of the model
    itself, with weights of so many bits, for a state to be read into. Raises `SettingError` where no product runs on
    integers.
    """
    bare = unwrapped_model(model)
    integer = (bare if structure_bits else copy.deepcopy(bare)).eval()
    if structure_bits is None:
        for place in idle_inputs(integer):
            integer.set_submodule(place, nn.Identity())
    for layer in list(integer.modules()):
        if isinstance(layer, LearnedQuantizer) and structure_bits is None:
            layer.settle()
        if isinstance(layer, QuantizedMessagePassing):
            layer.on_integers = not isinstance(layer.messages, nn.Identity) and layer.left_in_fp32 is None
        for place, part in list(layer.named_children()):
            if isinstance(part, Product) and hasattr(part.inputs, "codes"):
                held = [_integer_weight(*taken, part, structure_bits) for taken in taken_weights(layer, part)]
                setattr(layer, place, IntegerProduct(part, held, list(part.weights)))
            elif isinstance(part, Aggregation) and not isinstance(part.messages, nn.Identity):
                setattr(layer, place, IntegerAggregation(part, returns_messages=getattr(layer, "sends_itself", False)))
    plain_weights(integer, structure_only=structure_bits is not None)
    if not is_integer(integer):
        raise nothing_to_quantize(integer, untouched_layers(integer))
    return integer


def idle_inputs(model: nn.Module) -> list[str]:
    """The quantizers of inputs that never saw any: their layers were not called, and others may read their weights."""
    return [
        f"{name}.inputs"
        for name, part in unwrapped_model(model).named_modules()
        if isinstance(part, Product) and isinstance(part.inputs, TensorQuantizer) and not part.inputs.seen
    ]


def _integer_weight(owner: Any, name: str, product: Product, structure_bits: int | None) -> IntegerWeight:  # noqa: ANN401
    """Take a weight out of its layer, as codes."""
    quantizer, weight = owner.parametrizations[name][0], owner.parametrizations[name].original
    bit_width = structure_bits or quantizer.weight_bits
    held = IntegerWeight(weight.shape, axis_of_outputs(owner), bit_width, quantizer.scales, product.out_channels)
    if structure_bits is None:
        held.hold(quantizer, weight.detach())
    del owner.parametrizations[name]
    return held


def plain_weights(model: Model, *, structure_only: bool = False) -> Model:
    """Make plain parameters of a model's quantized weights, in place, at their quantized values."""
    for layer in list(model.modules()):
        if "parametrizations" in layer._modules:
            _leave_parametrizations(layer, structure_only=structure_only)
    return model


@torch.no_grad()
def _leave_parametrizations(layer: Any, *, structure_only: bool) -> None:  # noqa: ANN401
    """Make plain parameters, at their quantized values, of the weights that no product took."""
    # A weight that was never read has no range.
    left = {
        name: weight.original if structure_only or not getattr(weight[0], "seen", True) else weight()
        for name, weight in layer.parametrizations.items()
    }
    # torch's way of taking a parametrization off would take it from every copy of the layer, too.
    del layer.parametrizations
    layer.__class__ = type(layer).__base__
    for name, value in left.items():
        layer.register_parameter(name, nn.Parameter(value))


def untouched_layers(integer: nn.Module, asked: Iterable[str] = ()) -> dict[str, str]:
    """Why layers of a converted model compute in FP32, but for those in the layers that were `asked` to."""
    weights: dict[str, list[str]] = {}
    for layer, _, weight in (name.rpartition(".") for name in weights_in_fp32(integer)):
        weights.setdefault(layer, []).append(weight)
    reasons = {name: _reason(layer, weights.get(name, [])) for name, layer in integer.named_modules()}
    return {name: reason for name, reason in reasons.items() if reason and not within(name, asked)}


def _reason(layer: nn.Module, weights: list[str]) -> str:
    """Why a layer with these weights in FP32 computes in it, nothing where it does not."""
    names = f"no integer product takes {' and '.join(weights)}, which stay{'s' * (len(weights) == 1)} in FP32"
    if isinstance(layer, QuantizedMessagePassing):
        return "; ".join(reason for reason in (names if weights else None, layer.left_in_fp32) if reason)
    if weights and hasattr(layer, "add_quantizers"):
        return f"{names}: nothing quantized came in while ranges were learned"
    return quantized.reason(layer) if weights else ""


def is_integer(model: nn.Module) -> bool:
    """Whether a model was converted."""
    return any(isinstance(module, IntegerProduct) for module in model.modules())


def integer_weights(model: nn.Module, *, under_every_name: bool = False) -> dict[str, IntegerWeight]:
    """The integer weights of a converted model by the names that the weights had."""
    found = {}
    for path, module in model.named_modules(remove_duplicate=not under_every_name):
        if isinstance(module, IntegerProduct):
            layer = path.rpartition(".")[0]
            for name, weight in zip(module.names, module.weights, strict=True):
                found[f"{layer}.{name}" if layer else name] = weight
    return found


@torch.no_grad()
def dequantized_state(model: nn.Module) -> dict[str, Tensor]:
    """The weights of a converted model in FP32 under their former names, and all else that is no part of a quantizer.

    It is the state of a plain model of the same architecture.
    """
    inner = tuple(
        f"{path}."
        for path, module in model.named_modules(remove_duplicate=False)
        if isinstance(module, IntegerProduct | Product | IntegerAggregation | Aggregation)
        or hasattr(type(module), "codes")
    )
    plain = {name: value for name, value in model.state_dict().items() if not name.startswith(inner)}
    held = integer_weights(model, under_every_name=True)
    return plain | {name: weight.dequantize() for name, weight in held.items()}


def plain_model(model: Model) -> Model:
    """The model itself or, for a converted one, the plain model with the same weights in FP32."""
    model = unwrapped_model(model)
    if "plain_structure" not in model.__dict__:
        return model
    plain = copy.deepcopy(model.__dict__["plain_structure"])
    plain.load_state_dict(dequantized_state(model), assign=True)
    return plain.eval()
