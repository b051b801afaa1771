"""From a trained quantized model to one that runs on integers, and back to plain weights."""

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from gnn.errors import SettingError
from gnn.models import MODELS, GraphModel, unwrapped_model
from gnn.quantization.integer_layers import IntegerAggregation, IntegerProduct
from gnn.quantization.integer_weight import IntegerWeight
from gnn.quantization.layers import QuantizedSplineConvolution
from gnn.quantization.learned_quantizer import ChannelQuantizer, NodeQuantizer
from gnn.quantization.product import Aggregation, Product
from gnn.quantization.pyg_layers import QuantizedMessagePassing
from gnn.quantization.quantized_model import OUTPUT_LAST


def convert(model: GraphModel, *, structure_bits: int | None = None) -> GraphModel:
    """A copy of a quantized model with integer weights, integer products and integer sums over neighbours.

    It computes what the model computes in evaluation, up to the rounding of FP32 sums in the simulation, which may move
    a number that lies between two steps of the next grid by one step. With `structure_bits` only its structure is made,
    with weights of so many bits, for a state to be read into. Raises `SettingError` naming a layer that cannot be
    converted.
    """
    integer = copy.deepcopy(unwrapped_model(model)).eval()
    for name, layer in list(integer.named_modules()):
        if isinstance(layer, NodeQuantizer | ChannelQuantizer) and structure_bits is None:
            layer.settle()
        if isinstance(layer, QuantizedMessagePassing):
            raise SettingError(
                f"layer {name!r} is a {type(layer).__name__} of PyG, which cannot be converted to integers; use the "
                "graph convolutions of gnn.layers"
            )
        for place, part in list(layer.named_children()):
            if isinstance(part, Product):
                setattr(layer, place, _integer_product(name, layer, part, structure_bits=structure_bits))
            elif isinstance(part, Aggregation) and not isinstance(part.messages, nn.Identity):
                setattr(layer, place, IntegerAggregation(part, returns_messages=getattr(layer, "sends_itself", False)))
    if left := [name for name, layer in integer.named_modules() if parametrize.is_parametrized(layer)]:
        raise SettingError(f"layer {left[0]!r} has quantized weights that no integer product takes; exempt it")
    return integer


def _integer_product(name: str, layer: nn.Module, product: Product, *, structure_bits: int | None) -> IntegerProduct:
    if not hasattr(product.inputs, "codes"):
        raise SettingError(f"the inputs of layer {name!r} are not quantized, so it cannot be converted; exempt it")
    owners = [(layer, _weight_of(layer), "")]
    if isinstance(layer, QuantizedSplineConvolution) and layer.lin is not None:
        owners.append((layer.lin, "weight", "lin."))
    weights = []
    for owner, weight, _ in owners:
        weights.append(_integer_weight(owner, weight, structure_bits=structure_bits))
    return IntegerProduct(product, weights, [f"{prefix}{weight}" for _, weight, prefix in owners])


def _weight_of(layer: Any) -> str:  # noqa: ANN401
    """The name of the weight that a layer's product takes; asking for the weight itself would quantize it."""
    return "att" if "att" in getattr(layer, "parametrizations", {}) else "weight"


def _integer_weight(owner: Any, name: str, *, structure_bits: int | None) -> IntegerWeight:  # noqa: ANN401
    """Take the weight out of its layer, as codes."""
    quantizer, weight = owner.parametrizations[name][0], owner.parametrizations[name].original
    axis = -1 if isinstance(owner, OUTPUT_LAST) else 0
    outputs = 2 if name == "att" else weight.shape[axis]
    bit_width = structure_bits or quantizer.weight_bits
    held = IntegerWeight(weight.shape, axis, bit_width, quantizer.scales, outputs)
    if structure_bits is None:
        held.hold(quantizer, weight.detach())
    # torch's way of taking a parametrization off would take it from every copy of the layer, too.
    del owner.parametrizations
    owner.__class__ = type(owner).__base__  # pyright: ignore[reportAttributeAccessIssue]
    return held


def is_integer(model: nn.Module) -> bool:
    """Whether a model was converted."""
    return any(isinstance(module, IntegerProduct) for module in model.modules())


def integer_weights(model: nn.Module) -> dict[str, IntegerWeight]:
    """The integer weights of a converted model by the names that the weights had."""
    found = {}
    for path, module in model.named_modules():
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
    inner = {
        f"{path}."
        for path, module in model.named_modules()
        if isinstance(module, IntegerProduct | IntegerAggregation | Aggregation) or path.endswith("updates")
    }
    plain = {name: value for name, value in model.state_dict().items() if not name.startswith(tuple(inner))}
    return plain | {name: weight.dequantize() for name, weight in integer_weights(model).items()}


def plain_model(model: GraphModel) -> GraphModel:
    """The model itself or, for a converted one, the plain model with the same weights in FP32."""
    model = unwrapped_model(model)
    if model.quantization is None:
        return model
    architectures = [MODELS[name].build for name in MODELS]
    architecture = next(kind for kind in type(model).__mro__ if kind in architectures)
    with torch.device("meta"):
        plain = architecture(model.settings)
    plain.load_state_dict(dequantized_state(model), assign=True)
    return plain.eval()
