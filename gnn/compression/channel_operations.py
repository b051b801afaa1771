"""What each operation of PyTorch does to the axes of its tensors: which are the same channels, and which stay."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from math import prod
from typing import Any

import torch
from torch import Tensor

from gnn.compression.channel_spaces import GIVEN, NUMBERED, Space, Spaces, Stay

# The space of every axis of a tensor, None for one that holds no channels, such as nodes.
Axes = tuple[Space | None, ...]
# A flattened axis of more blocks than this holds nodes, not the heads of a layer.
MOST_BLOCKS = 256
# What makes zeros of zeros, or of zeros and anything else.
KEEP_ZERO = (
    *("abs", "add", "alias", "clone", "copy", "detach", "div", "dropout", "elu", "gelu", "hardtanh", "leaky_relu"),
    *("lift_fresh", "maximum", "minimum", "mul", "neg", "pow", "_prelu_kernel", "relu", "sign", "silu", "sin"),
    *("sqrt", "sub", "tanh", "_to_copy"),
)


class Operation:
    """One call of an operation: its arguments by name, and what is known of their axes."""

    def __init__(self, function: Any, args: Sequence[Any], kwargs: dict[str, Any], trace: "Known") -> None:  # noqa: ANN401
        names = [argument.name for argument in function._schema.arguments]
        self.name = function._schema.name.removeprefix("aten::").removesuffix("_")
        self.arguments = {**dict(zip(names, args, strict=False)), **kwargs}
        self.spaces: Spaces = trace.spaces
        self.trace = trace
        self.outputs: list[Tensor] = []

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401
        return self.arguments.get(name)

    @property
    def tensors(self) -> Iterator[Tensor]:
        """All tensors among the arguments, those in lists as well."""
        return tensors_in(self.arguments.values())

    def axes(self, tensor: Tensor) -> Axes:
        """The axes of an argument."""
        return self.trace.axes(tensor)

    def axis(self, tensor: Tensor, number: int) -> Space | None:
        """One axis of an argument."""
        return self.axes(tensor)[number]

    def dimension(self, tensor: Tensor, name: str = "dim", default: int = 0) -> int:
        """An argument that counts axes, from the first."""
        number = self.arguments.get(name, default)
        return number % max(tensor.dim(), 1)

    def same(self, *axes: tuple[Tensor, int]) -> Space | None:
        """One axis of each of several tensors is the same; one that has no channels keeps those of the others."""
        sizes = [tensor.shape[number] for tensor, number in axes]
        found = [self.axis(*axis) for axis, size in zip(axes, sizes, strict=True) if size > 1]
        spaces = [space for space in found if space is not None]
        if len({size for size in sizes if size > 1}) > 1:
            self.stop(*spaces)
            return None
        if len(spaces) == len(found):
            return self.spaces.unite_all(spaces)
        for space in spaces:
            self.spaces.keep(space, GIVEN)
        return None

    def stop(self, *spaces: Space | None) -> None:
        """These channels stay; the layer says so, unless nothing of the model is in them yet."""
        depends = any(self.trace.depends(tensor) for tensor in self.tensors)
        for space in spaces:
            self.spaces.keep(space, self.trace.stay(self.name) if depends else GIVEN)

    def pick(self, tensor: Tensor, number: int) -> None:
        """Entries of an axis are picked by number: no layer is to blame for that where it is one of a weight alone."""
        if self.trace.is_weight(tensor):
            self.spaces.keep(self.axis(tensor, number), GIVEN)
        else:
            self.stop(self.axis(tensor, number))

    def fresh(self, size: int) -> Space | None:
        """An axis that is as wide as whatever it meets."""
        return self.spaces.new(size) if size > 1 else None


class Known:
    """What operations ask of a trace."""

    spaces: Spaces
    # Whether zeros in the place of channels give what the model gives without them.
    exact: bool = True
    sums_channels: bool = False
    moves_zero: bool = False

    def axes(self, tensor: Tensor) -> Axes:
        """The axes of any tensor."""
        raise NotImplementedError

    def is_weight(self, tensor: Tensor) -> bool:
        """Whether a tensor depends on nothing but the model's own numbers."""
        raise NotImplementedError

    def depends(self, tensor: Tensor) -> bool:
        """Whether any number of the model is in a tensor."""
        raise NotImplementedError

    def stay(self, operation: str) -> Stay:
        """Why channels stay that meet this operation in the layer that runs now."""
        raise NotImplementedError


Follow = Callable[[Operation], "Axes | list[Axes]"]
OPERATIONS: dict[str, Follow] = {}


def follow(operation: Operation, *, pointwise: bool) -> list[Axes]:
    """The axes of every output; what no rule is known of ends here, and its channels stay."""
    name = operation.name
    rule = OPERATIONS.get(name) or (_pointwise if pointwise else _unknown)
    axes = rule(operation)
    return axes if isinstance(axes, list) else [axes] * len(operation.outputs)


def tensors_in(values: Any) -> Iterator[Tensor]:  # noqa: ANN401
    """The tensors in nested lists and tuples."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from tensors_in(value)


def _register(*names: str) -> Callable[[Follow], Follow]:
    def decorate(rule: Follow) -> Follow:
        OPERATIONS.update(dict.fromkeys(names, rule))
        return rule

    return decorate


def _unknown(operation: Operation) -> list[Axes]:
    for tensor in operation.tensors:
        operation.stop(*operation.axes(tensor))
    return [(None,) * output.dim() for output in operation.outputs]


@_register(*KEEP_ZERO)
@_register(
    "fill",
    "zero",
    "zeros_like",
    "ones_like",
    "empty_like",
    "full_like",
    "rand_like",
    "randn_like",
    "bernoulli",
    "normal",
)
@_register("uniform", "native_dropout", "_local_scalar_dense")
def _pointwise(operation: Operation) -> Axes:
    """Aligned from the last axis; an axis of one entry is as wide as any other, and tells nothing of it."""
    if not operation.outputs:
        return ()
    dim = operation.outputs[0].dim()
    tensors = list(operation.tensors)
    axes = tuple(
        operation.same(*((tensor, place) for tensor in tensors if place >= -tensor.dim())) for place in range(-dim, 0)
    )
    shifted = operation.name in ("add", "sub", "rsub") and not isinstance(operation["other"], Tensor)
    operation.trace.moves_zero |= any(axes) and (shifted or operation.name not in KEEP_ZERO)
    return axes


@_register("zeros", "ones", "full", "empty", "new_zeros", "new_ones", "new_full", "new_empty", "rand", "randn")
def _made(operation: Operation) -> Axes:
    """All entries are alike, and there are as many as the forward pass asks for."""
    return tuple(operation.fresh(size) for size in operation.outputs[0].shape)


@_register("mm", "bmm", "mv", "dot", "addmm", "baddbmm", "addmv")
def _product(operation: Operation) -> Axes:
    first = operation["mat1"] if operation["mat1"] is not None else operation["batch1"]
    first = operation["self"] if first is None else first
    second = next(
        operation[name] for name in ("mat2", "vec2", "batch2", "vec", "tensor") if operation[name] is not None
    )
    if operation.name == "addmv":
        first = operation["mat"]
    contracted = -2 if second.dim() > 1 else -1
    operation.same((first, -1), (second, contracted))
    if operation.axis(first, -1) and not (operation.trace.is_weight(first) or operation.trace.is_weight(second)):
        operation.trace.sums_channels = True
    batch = [operation.same((first, 0), (second, 0))] if second.dim() == 3 else []
    left, right = operation.axes(first)[len(batch) : -1], operation.axes(second)[len(batch) :]
    axes = (*batch, *left, *right[1:])
    if operation.name.startswith(("addm", "baddb")):
        added = operation["self"]
        axes = tuple(_with_added(operation, added, place, axes) for place in range(-len(axes), 0))
    return axes


def _with_added(operation: Operation, added: Tensor, place: int, axes: Axes) -> Space | None:
    """The axis of a product, with that of what is added to it."""
    space = axes[place]
    if place < -added.dim() or added.shape[place] == 1:
        return space
    other = operation.axis(added, place)
    if space is not None and other is not None:
        return operation.spaces.unite(space, other)
    operation.spaces.keep(space, GIVEN)
    operation.spaces.keep(other, GIVEN)
    return None


@_register("sum", "linalg_vector_norm", "nansum")
def _sum(operation: Operation) -> Axes:
    """A sum reads all channels, and one that is not there adds nothing."""
    tensor = operation["self"]
    if any(operation.axis(tensor, number) is not None for number in _dimensions(operation)):
        operation.trace.sums_channels = True
    return _without(operation)


@_register("mean", "var", "std", "amax", "amin", "max", "min", "prod", "any", "all", "logsumexp", "argmax", "argmin")
@_register("median", "mode", "var_mean", "std_mean", "norm")
def _reduced(operation: Operation) -> Axes:
    tensor = operation["self"]
    if isinstance(operation["other"], Tensor):
        return _pointwise(operation)
    operation.stop(*(operation.axis(tensor, number) for number in _dimensions(operation)))
    return _without(operation)


def _dimensions(operation: Operation) -> list[int]:
    tensor, given = operation["self"], operation["dim"]
    if given is None or given == []:
        return list(range(tensor.dim()))
    return [number % max(tensor.dim(), 1) for number in (given if isinstance(given, list | tuple) else [given])]


def _without(operation: Operation) -> Axes:
    gone = _dimensions(operation)
    axes = operation.axes(operation["self"])
    if operation["keepdim"]:
        return tuple(None if number in gone else axis for number, axis in enumerate(axes))
    return tuple(axis for number, axis in enumerate(axes) if number not in gone)


@_register("_softmax", "_log_softmax", "cumsum", "cumprod", "logcumsumexp", "sort", "topk", "argsort", "flip", "roll")
def _along(operation: Operation) -> Axes:
    tensor = operation["self"]
    given = operation.arguments.get("dims", operation.arguments.get("dim", -1))
    for number in given if isinstance(given, list | tuple) else [given]:
        operation.stop(operation.axis(tensor, number))
    return tuple(
        axis if operation.outputs[0].shape[number] == tensor.shape[number] else None
        for number, axis in enumerate(operation.axes(tensor))
    )


@_register("native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training")
def _batch_norm(operation: Operation) -> list[Axes]:
    names = ("weight", "bias", "running_mean", "running_var")
    given = [(operation[name], 0) for name in names if operation[name] is not None]
    channels = operation.same((operation["input"], 1), *given)
    first, second, *others = operation.axes(operation["input"])
    return [
        (first, channels if given else second, *others),
        *((channels,) if out.dim() else () for out in operation.outputs[1:]),
    ]


@_register("native_layer_norm")
def _layer_norm(operation: Operation) -> list[Axes]:
    tensor = operation["input"]
    if len(operation["normalized_shape"]) > 1:
        return _unknown(operation)
    operation.trace.exact = False
    given = [(operation[name], -1) for name in ("weight", "bias") if operation[name] is not None]
    axes = (*operation.axes(tensor)[:-1], operation.same((tensor, -1), *given))
    return [axes, *((None,) * out.dim() for out in operation.outputs[1:])]


@_register("t", "transpose", "permute")
def _permuted(operation: Operation) -> Axes:
    tensor = operation["self"]
    order = list(range(tensor.dim()))
    if operation.name == "permute":
        order = operation["dims"]
    elif tensor.dim() > 1:
        first, second = operation.arguments.get("dim0", 0), operation.arguments.get("dim1", 1)
        order[first], order[second] = order[second], order[first]
    return tuple(operation.axis(tensor, number) for number in order)


@_register("unsqueeze")
def _unsqueezed(operation: Operation) -> Axes:
    axes = list(operation.axes(operation["self"]))
    axes.insert(operation["dim"] % (len(axes) + 1), None)
    return tuple(axes)


@_register("squeeze")
def _squeezed(operation: Operation) -> Axes:
    tensor = operation["self"]
    gone = {number for number in _dimensions(operation) if tensor.shape[number] == 1}
    return tuple(axis for number, axis in enumerate(operation.axes(tensor)) if number not in gone)


@_register("expand", "repeat")
def _repeated(operation: Operation) -> Axes:
    """What stands several times is several times the same channels, and one entry is as many as are asked for."""
    tensor, output = operation["self"], operation.outputs[0]
    added = output.dim() - tensor.dim()
    axes: list[Space | None] = [operation.fresh(size) for size in output.shape[:added]]
    for size, before, axis in zip(output.shape[added:], tensor.shape, operation.axes(tensor), strict=True):
        axes.append(operation.fresh(size) if before == 1 else axis and axis * (size // before))
    return tuple(axes)


@_register("view", "_unsafe_view", "reshape", "_reshape_alias")
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
        if axis is not None and within:
            block = operation.spaces.new(cuts[cuts.index(end) + 1] // end)
            pieces[end] = operation.spaces.unite(block * (size // operation.spaces.size(block)), axis)[:1]
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


@_register("select", "unbind", "split", "split_with_sizes", "slice", "narrow", "chunk", "unsafe_chunk", "unsafe_split")
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


@_register("cat")
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


@_register("stack")
def _stacked(operation: Operation) -> Axes:
    tensors, output = operation["tensors"], operation.outputs[0]
    axes = [operation.same(*((tensor, place) for tensor in tensors)) for place in range(output.dim() - 1)]
    axes.insert(operation.dimension(output), None)
    return tuple(axes)


@_register("index_select", "index_add", "index_copy", "index_fill", "index_reduce")
def _by_row(operation: Operation) -> Axes:
    tensor, number = operation["self"], operation.dimension(operation["self"])
    operation.pick(tensor, number)
    source = operation["source"]
    tensors = [tensor] if source is None else [tensor, source]
    return tuple(
        None if place == number else operation.same(*((part, place) for part in tensors))
        for place in range(tensor.dim())
    )


@_register("gather", "scatter", "scatter_add", "scatter_reduce")
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


@_register("index", "index_put", "_index_put_impl")
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


@_register("embedding", "_embedding_bag", "_embedding_bag_forward_only")
def _looked_up(operation: Operation) -> list[Axes]:
    weight = operation["weight"]
    operation.spaces.keep(operation.axis(weight, 0), NUMBERED)
    rows: Axes = (None,) * (operation.outputs[0].dim() - 1)
    others: list[Axes] = [(None,) * output.dim() for output in operation.outputs[1:]]
    return [(*rows, operation.axis(weight, 1)), *others]
