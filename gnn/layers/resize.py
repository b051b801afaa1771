"""Other tensors for the layers of a model, and the sizes that layers know of themselves."""

from collections.abc import Mapping
from itertools import chain
from typing import Any

from torch import Tensor, nn

from gnn.errors import SettingError

# The names by which layers commonly know how wide their input and their output is, PyG's PNAConv and MLP among them.
READ = ("in_channels", "in_features", "num_features", "normalized_shape", "num_parameters", "channels", "F_in")
WRITTEN = ("out_channels", "out_features", "F_out")
SIZES = (*READ, *WRITTEN, "channel_list")
Sizes = Mapping[str, Mapping[str, Any]]


def take_tensors(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Give some parameters and buffers of a module, by name, other numbers and sizes, in place.

    They stay the same objects, so what is shared stays shared. Raises `SettingError` for a tensor that the module does
    not have or that has another number of axes.
    """
    own = dict(chain(module.named_parameters(remove_duplicate=False), module.named_buffers(remove_duplicate=False)))
    for name, tensor in tensors.items():
        if name not in own or own[name].dim() != tensor.dim():
            there = f"has the shape {list(own[name].shape)}" if name in own else "is not there"
            raise SettingError(f"tensor {name!r} {there}, so it cannot become one of shape {list(tensor.shape)}")
    for name, tensor in tensors.items():
        own[name].data, own[name].grad = tensor.detach(), None


def layer_sizes(module: nn.Module) -> dict[str, dict[str, Any]]:
    """The sizes that each layer knows of itself, by the layer's path and the attribute's name."""
    found = {
        path: {name: value for name in SIZES if _is_size(value := vars(layer).get(name))}
        for path, layer in module.named_modules()
    }
    return {path: sizes for path, sizes in found.items() if sizes}


def take_sizes(module: nn.Module, sizes: Sizes) -> None:
    """Tell layers other sizes than they were built with, as `layer_sizes` gave them.

    Raises `SettingError` for a layer or a size that the module does not have, and for a size above that it was built
    with.
    """
    layers, own = dict(module.named_modules()), layer_sizes(module)
    for path, of_layer in sizes.items():
        for name, size in dict(of_layer if isinstance(of_layer, Mapping) else {"size": of_layer}).items():
            built = own.get(path, {}).get(name)
            if built is None or not _is_size(size) or not _at_most(size, built):
                raise SettingError(f"layer {path!r} has the {name} {built}, so it cannot become {size!r}")
            setattr(layers[path], name, type(built)(size) if isinstance(built, list | tuple) else size)


def _is_size(value: object) -> bool:
    several = value if isinstance(value, list | tuple) and value else (value,)
    return all(type(one) is int and one >= 0 for one in several)


def _at_most(size: Any, built: Any) -> bool:  # noqa: ANN401
    if isinstance(built, int):
        return isinstance(size, int) and size <= built
    return isinstance(size, list | tuple) and len(size) == len(built) and all(map(int.__le__, size, built))
