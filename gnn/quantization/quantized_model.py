"""A model with quantizers at every place that a scheme names."""

import copy
from collections.abc import Iterable
from itertools import pairwise
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from gnn.errors import SettingError
from gnn.layers.rules import axis_of_outputs, quantized
from gnn.models import bare_model, on_task
from gnn.quantization import layers as _layers  # noqa: F401  (registers its counterparts)
from gnn.quantization import pyg_layers as _pyg_layers  # noqa: F401  (registers its counterparts)
from gnn.quantization.product import Product
from gnn.quantization.scheme import LayerScheme, Scheme
from gnn.quantization.tensor_quantizer import TensorQuantizer
from gnn.tasks import Task

Model = TypeVar("Model", bound=nn.Module)


def quantize_model(model: Model, scheme: Scheme, exempt: Iterable[str] = ()) -> Model:
    """Give a model the quantizers of a scheme, in place; its parameters stay the same objects.

    Every layer that `gnn.layers.rules.quantized` knows becomes its quantized counterpart, and its weights of two
    dimensions or more are quantized wherever they are read. All others stay in FP32, and so do the layers named in
    `exempt` with all that is in them. Raises `SettingError` for an exempt layer that does not exist, and where nothing
    would be quantized.
    """
    model, exempt = bare_model(model), tuple(exempt)
    layers = dict(model.named_modules())
    if unknown := [name for name in exempt if name not in layers]:
        raise SettingError(f"layer {unknown[0]!r} is to stay in FP32, but {type(model).__name__} has no such layer")
    layers = {name: layer for name, layer in layers.items() if not within(name, exempt)}
    if not any(_weights(layer) and quantized.of(layer) for layer in layers.values()):
        raise nothing_to_quantize(
            model, {name: quantized.reason(layer) for name, layer in layers.items() if _weights(layer)}
        )
    # Set as an attribute, it would be taken for a part of the model.
    model.__dict__["plain_structure"] = _structure(model)
    of_nodes: set[int] = set()
    taken_over: set[int] = set()
    for name, layer in layers.items():
        if (rule := quantized.of(layer)) is None:
            continue
        weights = _weights(layer)
        if id(layer) not in taken_over:
            options = {"of_nodes": True} if id(layer) in of_nodes else {}
            _convert(layer, rule(layer), LayerScheme(scheme, name), options)
            of_nodes |= {id(layer.get_submodule(part)) for part in getattr(layer, "node_layers", ())}
            taken_over |= {id(owner) for part in layer.children() for owner, _ in taken_weights(layer, part)}
        for weight in weights:
            quantizer = scheme.for_weights(getattr(layer, weight), axis_of_outputs(layer))
            # Its checks would show the weight to the quantizer once before training does.
            parametrize.register_parametrization(layer, weight, quantizer, unsafe=True)
    for layer in layers.values():
        # A subclass may do something else with what comes before its ReLU.
        if type(layer) is nn.Sequential:
            _rectify_where_quantized(layer)
    return model


def within(name: str, layers: Iterable[str]) -> bool:
    """Whether a module is one of some layers or in one of them, by their names."""
    return any(name == layer or name.startswith(f"{layer}.") for layer in layers)


def nothing_to_quantize(model: nn.Module, reasons: dict[str, str]) -> SettingError:
    """What to raise for a model of which nothing is quantized; `reasons` say why, by layer."""
    name, reason = next(iter(reasons.items()), ("", "it has no weights of two dimensions or more"))
    return SettingError(
        f"nothing of {type(model).__name__} can be quantized: layer {name!r} stays in FP32, as {reason}"
    )


def taken_weights(layer: nn.Module, part: nn.Module) -> list[tuple[nn.Module, str]]:
    """The weights that a child of a layer multiplies with when it is a product, each as its owner and its name."""
    names = [name.rpartition(".") for name in part.weights] if isinstance(part, Product) else []
    return [(layer.get_submodule(owner), weight) for owner, _, weight in names]


def _weights(layer: nn.Module) -> list[str]:
    return [name for name, parameter in layer.named_parameters(recurse=False) if parameter.dim() >= 2]


def _structure(model: Model) -> Model:
    """A copy of a model whose state has shapes only."""
    state = model.state_dict(keep_vars=True).values()
    return copy.deepcopy(model, {id(tensor): _without_numbers(tensor) for tensor in state})


def _without_numbers(tensor: Tensor) -> Tensor:
    shape = torch.empty_like(tensor, device="meta")
    return nn.Parameter(shape, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else shape


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
def nonnegative_inputs(model: nn.Module, task: Task) -> tuple[str, ...]:
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
    asked = on_task(model, task)
    asked.outputs(task, asked.prepare(task), "validation")
    for hook in hooks:
        hook.remove()
    return tuple(sorted(name for name, value in smallest.items() if value >= 0))
