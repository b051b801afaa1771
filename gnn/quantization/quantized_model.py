"""A model with quantizers at every place that a scheme names."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from gnn.errors import SettingError
from gnn.layers import GraphConvolution, SplineConvolution
from gnn.layers.hgpsl_convolution import HgpSlConvolution
from gnn.layers.hgpsl_pool import HgpSlPool
from gnn.models import GraphModel, bare_model
from gnn.models.gin import GinConvolution
from gnn.models.ness import Ness
from gnn.models.walkpooling import WalkPoolingNet
from gnn.quantization.layers import (
    QuantizedGinConvolution,
    QuantizedGraphConvolution,
    QuantizedHgpSlConvolution,
    QuantizedHgpSlPool,
    QuantizedLinear,
    QuantizedNess,
    QuantizedSplineConvolution,
    QuantizedWalkPoolingNet,
)
from gnn.quantization.pyg_layers import pyg_counterpart
from gnn.quantization.scheme import LayerScheme, Scheme
from gnn.quantization.tensor_quantizer import TensorQuantizer
from gnn.tasks import Task

_COUNTERPARTS: dict[type[nn.Module], type[nn.Module]] = {
    GinConvolution: QuantizedGinConvolution,
    GraphConvolution: QuantizedGraphConvolution,
    HgpSlConvolution: QuantizedHgpSlConvolution,
    HgpSlPool: QuantizedHgpSlPool,
    Ness: QuantizedNess,
    SplineConvolution: QuantizedSplineConvolution,
    WalkPoolingNet: QuantizedWalkPoolingNet,
    nn.Linear: QuantizedLinear,
}
# Their weights have the output channels last, everything else has them first, as nn.Linear.
OUTPUT_LAST = (SplineConvolution, HgpSlConvolution)
# Their linear layers work on nodes; those of a GIN's MLP are not told, as in the reference.
_OWNERS = (GraphConvolution, Ness)


def quantize_model(model: GraphModel, scheme: Scheme, exempt: Iterable[str] = ()) -> GraphModel:
    """Give a model the quantizers of a scheme, in place; its parameters stay the same objects.

    Every weight of two dimensions or more is quantized wherever it is read, and every layer becomes its quantized
    counterpart; the layers named in `exempt` stay in FP32 with all that is in them. Raises `SettingError` for a layer
    with weights that has no counterpart, so that none slips through, and for an exempt layer that does not exist.
    """
    model, exempt = bare_model(model), tuple(exempt)
    layers = dict(model.named_modules())
    in_fp32 = {name for name in layers for kept in exempt if name == kept or name.startswith(f"{kept}.")}
    if unknown := [name for name in exempt if name not in layers]:
        raise SettingError(f"layer {unknown[0]!r} is to stay in FP32, but {type(model).__name__} has no such layer")
    of_nodes = {id(layer.lin) for layer in layers.values() if isinstance(layer, _OWNERS)}
    owned = {id(layer.lin) for layer in layers.values() if isinstance(layer, SplineConvolution)}
    for name, layer in layers.items():
        if name in in_fp32:
            continue
        weights = [weight for weight, parameter in layer.named_parameters(recurse=False) if parameter.dim() >= 2]
        counterpart = _COUNTERPARTS.get(type(layer)) or pyg_counterpart(type(layer))
        if counterpart is None and weights:
            raise SettingError(f"layer {name!r} is a {type(layer).__name__}, which cannot be quantized; exempt it")
        if counterpart is not None and id(layer) not in owned:
            _convert(layer, counterpart, LayerScheme(scheme, name), {"of_nodes": True} if id(layer) in of_nodes else {})
        axis = -1 if isinstance(layer, OUTPUT_LAST) else 0
        for weight in weights:
            quantizer = scheme.for_weights(getattr(layer, weight), axis)
            # Its checks would show the weight to the quantizer once before training does.
            parametrize.register_parametrization(layer, weight, quantizer, unsafe=True)
    for layer in layers.values():
        if isinstance(layer, nn.Sequential):
            _rectify_where_quantized(layer)
    return model


def _rectify_where_quantized(layers: nn.Sequential) -> None:
    """Leave a ReLU to the quantizer before it, which clamps anyway."""
    for place, (layer, follower) in enumerate(pairwise(layers), start=1):
        features = getattr(getattr(layer, "product", None), "features", None)
        if isinstance(features, TensorQuantizer) and features.protection is None and isinstance(follower, nn.ReLU):
            features.rectifies = True
            layers[place] = nn.Identity()


def _convert(layer: nn.Module, counterpart: type[nn.Module], scheme: Scheme, options: dict[str, Any]) -> None:
    # As torch's own parametrizations do: whoever holds the layer goes on holding it.
    layer.__class__ = counterpart
    layer.add_quantizers(scheme, **options)  # pyright: ignore[reportCallIssue]


def quantized_weights(model: nn.Module) -> dict[str, nn.Module]:
    """The quantizer of every quantized weight, by the name that the weight had before."""
    return {
        f"{name}.{weight}" if name else weight: parametrizations[0]
        for name, layer in model.named_modules()
        if parametrize.is_parametrized(layer)
        for weight, parametrizations in layer.parametrizations.items()  # pyright: ignore
    }


def weights_in_fp32(model: nn.Module) -> list[str]:
    """Names of the weights that no quantizer reaches."""
    return [
        name
        for name, parameter in model.named_parameters()
        if parameter.dim() >= 2 and ".parametrizations." not in f".{name}" and not _of_quantizer(model, name)
    ]


def _of_quantizer(model: nn.Module, name: str) -> bool:
    owner = model.get_submodule(name.rpartition(".")[0])
    return hasattr(owner, "codes")


@torch.no_grad()
def nonnegative_inputs(model: GraphModel, task: Task) -> tuple[str, ...]:
    """The linear layers of a plain model whose inputs are never negative on the validation part, as after a ReLU."""
    smallest: dict[str, float] = {}
    hooks = []
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Linear):

            def watch(_layer: nn.Module, inputs: tuple[Any, ...], name: str = name) -> None:
                if isinstance(inputs[0], Tensor):
                    smallest[name] = min(smallest.get(name, torch.inf), float(inputs[0].min()))

            hooks.append(layer.register_forward_pre_hook(watch))
    model.eval()
    model.outputs(task, model.prepare(task), "validation")
    for hook in hooks:
        hook.remove()
    return tuple(sorted(name for name, value in smallest.items() if value >= 0))
