"""A model out of what PyTorch has put around it and its weights."""

import re
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, cast

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize, prune
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm
from torch.optim.swa_utils import AveragedModel

from gnn.errors import SettingError

Model = TypeVar("Model", bound=nn.Module)

# What has become of a tensor that a forward pre-hook makes, what undoes it, and the hook's field for the tensor's name.
_HOOKS: dict[type[Any], tuple[str, str, str]] = {
    prune.BasePruningMethod: ("carries a mask of torch.nn.utils.prune", "prune.remove", "_tensor_name"),
    SpectralNorm: ("is made by torch.nn.utils.spectral_norm", "remove_spectral_norm", "name"),
    WeightNorm: ("is made by torch.nn.utils.weight_norm", "remove_weight_norm", "name"),
}


def unwrapped_model(model: Model) -> Model:
    """The model in torch.compile, DataParallel, DistributedDataParallel or AveragedModel, one in the other as well."""
    inner: Any = model
    while (name := _inner_name(inner)) is not None:
        inner = inner.get_submodule(name)
    return inner


def bare_model(model: Model) -> Model:
    """The unwrapped model, whose weights are all plain parameters of plain layers.

    Raises `SettingError` that names the first tensor or layer which is not, with what makes it so: a mask of
    torch.nn.utils.prune and a norm or another parametrization compute a weight from others, and a layer that is wrapped
    has other names for what is in it.
    """
    return _refuse(model, lambda path, module: (*_hooked(path, module), *_unlike_built(path, module)))


def runnable_model(model: Model) -> Model:
    """The unwrapped model, ready to be trained and to be run on a task.

    Raises `SettingError` for numbers that are not in memory, and for weights that hooks make: they do so when their own
    layer is called, and a layer that reads the weights of another, as the spline convolution does, would see stale
    ones.
    """
    return _with_numbers(_refuse(model, _hooked))


def fp32_model(model: Model) -> Model:
    """The bare model with its numbers in memory; raises `SettingError` for any parameter that is not in FP32."""
    bare = _with_numbers(bare_model(model))
    for name, parameter in bare.named_parameters():
        if parameter.dtype != torch.float32:
            raise SettingError(f"parameter {name!r} is {parameter.dtype}, not torch.float32; use model.float()")
    return bare


def _with_numbers(model: Model) -> Model:
    for name, parameter in model.named_parameters():
        if is_lazy(parameter):
            raise SettingError(f"parameter {name!r} has no size before the first pass; run the model once")
        if parameter.is_meta:
            raise SettingError(f"parameter {name!r} is on device meta and has no numbers; build the model without it")
    return model


def _refuse(model: Model, faults: Callable[[str, nn.Module], tuple[str, ...]]) -> Model:
    bare = unwrapped_model(model)
    place = next(path for path, module in model.named_modules() if module is bare)
    found = [fault for path, module in bare.named_modules(prefix=place) for fault in faults(path, module)]
    if found:
        others = f", and {len(found) - 1} more like it" if found[1:] else ""
        raise SettingError(f"{found[0]}{others}")
    return bare


def _inner_name(module: nn.Module) -> str | None:
    # torch.compile is known by the name of what it wraps: to import its class takes a second.
    if "_orig_mod" in module._modules:
        return "_orig_mod"
    return "module" if isinstance(module, nn.DataParallel | DistributedDataParallel | AveragedModel) else None


def _hooked(path: str, module: nn.Module) -> tuple[str, ...]:
    return tuple(
        _made_permanent(path, getattr(hook, name), what, undo)
        for hook in module._forward_pre_hooks.values()
        for kind, (what, undo, name) in _HOOKS.items()
        if isinstance(hook, kind)
    )


def _unlike_built(path: str, module: nn.Module) -> Iterator[str]:
    """What a parametrization, a wrapper or torch.jit has made of a layer."""
    if parametrize.is_parametrized(module):
        for tensor, (first, *_) in cast(Any, module.parametrizations).items():
            # A quantizer of this library has codes; who cannot use what it makes says so.
            if not hasattr(first, "codes"):
                what = f"is parametrized by {type(first).__name__}"
                yield _made_permanent(path, tensor, what, "parametrize.remove_parametrizations")
    if (inner := _inner_name(module)) is not None:
        layer = _expression(path)
        yield f"layer {path!r} is wrapped in {type(module).__name__}; unwrap it first: {layer} = {layer}.{inner}"
    if isinstance(module, torch.jit.ScriptModule):
        yield f"{_expression(path)} is a {type(module).__name__} of torch.jit; give what it was made of"


def _made_permanent(path: str, tensor: str, what: str, undo: str) -> str:
    name = f"{path}.{tensor}".lstrip(".")
    return f'{name!r} {what}; make it permanent first: torch.nn.utils.{undo}({_expression(path)}, "{tensor}")'


def _expression(path: str) -> str:
    """How a user writes a layer, such as model.convs[0].nn[2]."""
    return re.sub(r"\.(\d+)", r"[\1]", f"model.{path}").rstrip(".")
