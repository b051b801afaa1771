"""Other tensors for the layers of a model, which then know their new sizes."""

from collections.abc import Iterator, Mapping
from itertools import chain

from torch import Tensor, nn

from gnn.errors import SettingError
from gnn.layers import rules

_READS = ("in_channels", "in_features")
_WRITES = ("out_channels", "out_features")
_KEEPS = ("in_channels", "num_features", "num_channels")
Shapes = Mapping[str, tuple[int, ...]]


def take_tensors(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Give some parameters and buffers of a module, by name, other numbers and sizes, in place.

    They stay the same objects, so what is shared stays shared. Each layer's attributes such as `in_channels` follow:
    as its rule of `gnn.layers.rules.channels` says or, without one, where all axes that had the attribute's size agree
    on another. Raises `SettingError` for a tensor that the module does not have or that has another number of axes.
    """
    own = dict(chain(module.named_parameters(remove_duplicate=False), module.named_buffers(remove_duplicate=False)))
    for name, tensor in tensors.items():
        if name not in own or own[name].dim() != tensor.dim():
            there = f"has the shape {list(own[name].shape)}" if name in own else "is not there"
            raise SettingError(f"tensor {name!r} {there}, so it cannot become one of shape {list(tensor.shape)}")
    before = {name: tuple(tensor.shape) for name, tensor in own.items()}
    for name, tensor in tensors.items():
        own[name].data, own[name].grad = tensor.detach(), None
    for path, layer in module.named_modules():
        prefix = f"{path}." if path else ""
        inside = {name.removeprefix(prefix): name for name in own if name.startswith(prefix)}
        _follow(
            layer,
            {name: before[full] for name, full in inside.items()},
            {name: tuple(own[full].shape) for name, full in inside.items()},
        )


def _follow(layer: nn.Module, before: Shapes, after: Shapes) -> None:
    """Set the attributes of a layer whose tensors changed their shapes."""
    if before == after:
        return
    for attribute in dict.fromkeys((*_READS, *_WRITES, *_KEEPS)):
        if type(size := vars(layer).get(attribute)) is int and size > 0:
            new = {
                after[name][axis] * size // before[name][axis] for name, axis in _axes(layer, attribute, size, before)
            }
            if len(new) == 1:
                setattr(layer, attribute, new.pop())
    if isinstance(layer, nn.LayerNorm) and "weight" in after:
        layer.normalized_shape = after["weight"]


def _axes(layer: nn.Module, attribute: str, size: int, before: Shapes) -> Iterator[tuple[str, int]]:
    """The axes that have the size of an attribute, or a multiple where a rule says so, each with its tensor."""
    if (rule := rules.channels.of(layer)) is not None:
        has = rule(layer)
        sides = ((has.reads, _READS), (has.writes, _WRITES), (has.keeps, _KEEPS))
        axes = (axis for axes, names in sides if attribute in names for axis in axes)
        # A tensor has the channels of all heads, or several blocks of them.
        yield from (
            (axis.tensor, axis.axis)
            for axis in axes
            if axis.tensor in before and before[axis.tensor][axis.axis] % size == 0
        )
        return
    # A layer's weights are its own or those of the layers that it is made of, not of what these are made of.
    shapes = {name: shape for name, shape in before.items() if name.count(".") <= 1 and shape}
    if attribute in _READS and any(len(shape) == 2 for shape in shapes.values()):
        yield from ((name, 1) for name, shape in shapes.items() if len(shape) == 2 and shape[1] == size)
    else:
        axes = {name: 0 if len(shape) < 3 else len(shape) - 1 for name, shape in shapes.items()}
        yield from ((name, axis) for name, axis in axes.items() if shapes[name][axis] == size)
