"""Operations that only move entries: views, parts, tensors side by side, and rows by number."""

from collections.abc import Sequence
from itertools import pairwise
from math import prod

import torch
from torch import Tensor

from gnn.compression.channel_operations import Axes, Operation, dimensions, register
from gnn.compression.channel_spaces import GIVEN, NUMBERED, Space

# A flattened axis of more blocks than this holds nodes, not the heads of a layer.
MOST_BLOCKS = 256


@register("t", "transpose", "permute")
def _permuted(operation: Operation) -> Axes:
    tensor = operation["self"]
    order = list(range(tensor.dim()))
    if operation.name == "permute":
        order = operation["dims"]
    elif tensor.dim() > 1:
        first, second = operation.arguments.get("dim0", 0), operation.arguments.get("dim1", 1)
        order[first], order[second] = order[second], order[first]
    return tuple(operation.axis(tensor, number) for number in order)


@register("unsqueeze")
def _unsqueezed(operation: Operation) -> Axes:
    axes = list(operation.axes(operation["self"]))
    axes.insert(operation["dim"] % (len(axes) + 1), None)
    return tuple(axes)


@register("squeeze")
def _squeezed(operation: Operation) -> Axes:
    tensor = operation["self"]
    gone = {number for number in dimensions(operation) if tensor.shape[number] == 1}
    return tuple(axis for number, axis in enumerate(operation.axes(tensor)) if number not in gone)


@register("expand", "repeat")
def _repeated(operation: Operation) -> Axes:
    """What stands several times is several times the same channels, and one entry is as many as are asked for."""
    tensor, output = operation["self"], operation.outputs[0]
    added = output.dim() - tensor.dim()
    axes: list[Space | None] = [operation.fresh(size) for size in output.shape[:added]]
    for size, before, axis in zip(output.shape[added:], tensor.shape, operation.axes(tensor), strict=True):
        axes.append(operation.fresh(size) if before == 1 else axis and axis * (size // before))
    return tuple(axes)


@register("view", "_unsafe_view", "reshape", "_reshape_alias")
def _viewed(operation: Operation) -> Axes:
    """Both shapes cut into the same pieces: an axis that is split is blocks of the same channels, as heads are."""
    tensor, output = operation["self"], operation.outputs[0]
    old, new = _cuts(tensor.shape), _cuts(output.shape)
    cuts = sorted({*old, *new})
    spaces = [axis for axis in operation.axes(tensor) if axis is not None]
    if not spaces:
        return (None,) * output.dim()
    if 0 in tensor.shape or any(larger % smaller for smaller, larger in pairwise(cuts)) or _is_ended(operation):
        operation.stop(*spaces)
        return (None,) * output.dim()
    pieces: dict[int, Space | None] = {}
    for size, axis, end in zip(tensor.shape, operation.axes(tensor), _ends(tensor.shape), strict=True):
        within = [cut for cut in cuts if end <= cut < end * size]
        pieces |= dict.fromkeys(within)
        if axis is not None and within[1:]:
            block = operation.trace.block(within[1] // end)
            operation.spaces.unite(block * (size // operation.spaces.size(block)), axis)
            pieces[end] = block
        elif within:
            pieces[end] = axis
    return tuple(
        _merged(operation, [(cut, pieces[cut]) for cut in cuts if end <= cut < end * size], size)
        for size, end in zip(output.shape, _ends(output.shape), strict=True)
    )


def _merged(operation: Operation, pieces: list[tuple[int, Space | None]], size: int) -> Space | None:
    """The pieces of one axis, from the innermost one: blocks of the innermost, when that alone has channels."""
    spaces = [space for _, space in pieces]
    if not any(space is not None for space in spaces):
        return None
    inner = spaces[0]
    blocks = 1 if inner is None else size // operation.spaces.size(inner)
    if inner is None or any(space is not None for space in spaces[1:]) or blocks > MOST_BLOCKS:
        operation.stop(*spaces)
        return None
    return inner * blocks


def _is_ended(operation: Operation) -> bool:
    """Whether channels would become blocks of one channel each, and so heads that cannot go."""
    tensor, output = operation["self"], operation.outputs[0]
    last = [number for number, size in enumerate(tensor.shape) if size > 1][-1:]
    ones = tensor.dim() - 1 - last[0] if last else 0
    return bool(last) and operation.axis(tensor, last[0]) is not None and output.shape[-1 - ones :].numel() == 1


def _ends(shape: Sequence[int]) -> list[int]:
    """How many entries one step along each axis skips."""
    return [prod(shape[number + 1 :]) for number in range(len(shape))]


def _cuts(shape: Sequence[int]) -> set[int]:
    return {*_ends(shape), prod(shape)}


@register("select", "unbind", "split", "split_with_sizes", "slice", "narrow", "chunk", "unsafe_chunk", "unsafe_split")
def _part(operation: Operation) -> Axes:
    """Some entries of an axis, which have to stay where they are."""
    tensor, output = operation["self"], operation.outputs[0]
    number = operation.dimension(tensor)
    axes = list(operation.axes(tensor))
    if output.dim() < tensor.dim():
        operation.pick(tensor, number)
        del axes[number]
    elif output.shape[number] != tensor.shape[number]:
        operation.pick(tensor, number)
        axes[number] = None
    return tuple(axes)


@register("cat")
def _joined(operation: Operation) -> Axes:
    tensors = [tensor for tensor in operation["tensors"] if tensor.dim() > 1 or tensor.numel()]
    output, number = operation.outputs[0], operation.dimension(operation.outputs[0])
    axes = [
        operation.same(*((tensor, place) for tensor in tensors)) if place != number else None
        for place in range(output.dim())
    ]
    parts = [(operation.axis(tensor, number), tensor.shape[number]) for tensor in tensors]
    if any(space is not None for space, _ in parts):
        axes[number] = tuple(group for part in parts for group in _given(operation, *part))
    return tuple(axes)


def _given(operation: Operation, space: Space | None, size: int) -> Space:
    """The space of one part, made up where it has no channels: all of it stays."""
    if space is None and size:
        space = operation.spaces.new(size)
        operation.spaces.keep(space, GIVEN)
    return space or ()


@register("stack")
def _stacked(operation: Operation) -> Axes:
    tensors, output = operation["tensors"], operation.outputs[0]
    axes = [operation.same(*((tensor, place) for tensor in tensors)) for place in range(output.dim() - 1)]
    axes.insert(operation.dimension(output), None)
    return tuple(axes)


@register("index_select", "index_add", "index_copy", "index_fill", "index_reduce")
def _by_row(operation: Operation) -> Axes:
    tensor, number = operation["self"], operation.dimension(operation["self"])
    operation.pick(tensor, number)
    source = operation["source"]
    tensors = [tensor] if source is None else [tensor, source]
    return tuple(
        None if place == number else operation.same(*((part, place) for part in tensors))
        for place in range(tensor.dim())
    )


@register("gather", "scatter", "scatter_add", "scatter_reduce")
def _by_entry(operation: Operation) -> Axes:
    """The index has the channels too: it picks a row for each of them."""
    tensor, index, number = operation["self"], operation["index"], operation.dimension(operation["self"])
    operation.pick(tensor, number)
    source = operation["src"]
    tensors = [tensor, index, *([source] if isinstance(source, Tensor) else [])]
    return tuple(
        None if place == number else operation.same(*((part, place) for part in tensors))
        for place in range(tensor.dim())
    )


@register("index", "index_put", "_index_put_impl")
def _indexed(operation: Operation) -> Axes:
    tensor = operation["self"]
    kept: list[Space | None] = []
    place, first = 0, None
    for index in operation["indices"]:
        if index is None:
            kept.append(operation.axis(tensor, place))
            place += 1
            continue
        first = len(kept) if first is None else first
        for _ in range(index.dim() if index.dtype in (torch.bool, torch.uint8) else 1):
            operation.pick(tensor, place)
            place += 1
    kept += operation.axes(tensor)[place:]
    if operation.name == "index":
        made: list[Space | None] = [None] * (operation.outputs[0].dim() - len(kept))
        return (*kept[: first or 0], *made, *kept[first or 0 :])
    values = operation["values"]
    for number in range(-1, -1 - min(tensor.dim() - place, values.dim()), -1):
        operation.same((tensor, number), (values, number))
    return operation.axes(tensor)


@register("embedding", "_embedding_bag", "_embedding_bag_forward_only")
def _looked_up(operation: Operation) -> list[Axes]:
    weight = operation["weight"]
    operation.spaces.keep(operation.axis(weight, 0), NUMBERED)
    rows: Axes = (None,) * (operation.outputs[0].dim() - 1)
    others: list[Axes] = [(None,) * output.dim() for output in operation.outputs[1:]]
    return [(*rows, operation.axis(weight, 1)), *others]
