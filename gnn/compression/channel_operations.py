"""What each operation of PyTorch does to the axes of its tensors: which are the same channels, and which stay."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from torch import Tensor

from gnn.compression.channel_spaces import GIVEN, Space, Spaces, Stay

# The space of every axis of a tensor, None for one that holds no channels, such as nodes.
Axes = tuple[Space | None, ...]
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

    def block(self, size: int) -> Space:
        """What the layer that runs now cuts into blocks of that size, all by the one number that it knows."""
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


def register(*names: str) -> Callable[[Follow], Follow]:
    """Decorate the rule of some operations, by the names that ATen has for them without an underscore at the end."""

    def decorate(rule: Follow) -> Follow:
        OPERATIONS.update(dict.fromkeys(names, rule))
        return rule

    return decorate


def _unknown(operation: Operation) -> list[Axes]:
    for tensor in operation.tensors:
        operation.stop(*operation.axes(tensor))
    return [(None,) * output.dim() for output in operation.outputs]


@register(*KEEP_ZERO)
@register(
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
@register("uniform", "native_dropout", "_local_scalar_dense")
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


@register("zeros", "ones", "full", "empty", "new_zeros", "new_ones", "new_full", "new_empty", "rand", "randn")
def _made(operation: Operation) -> Axes:
    """All entries are alike, and there are as many as the forward pass asks for."""
    return tuple(operation.fresh(size) for size in operation.outputs[0].shape)


@register("mm", "bmm", "mv", "dot", "addmm", "baddbmm", "addmv")
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


@register("sum", "linalg_vector_norm", "nansum")
def _sum(operation: Operation) -> Axes:
    """A sum reads all channels, and one that is not there adds nothing."""
    tensor = operation["self"]
    if any(operation.axis(tensor, number) is not None for number in dimensions(operation)):
        operation.trace.sums_channels = True
    return _without(operation)


@register("mean", "var", "std", "amax", "amin", "max", "min", "prod", "any", "all", "logsumexp", "argmax", "argmin")
@register("median", "mode", "var_mean", "std_mean", "norm")
def _reduced(operation: Operation) -> Axes | list[Axes]:
    tensor = operation["self"]
    if isinstance(operation["other"], Tensor):
        return _pointwise(operation)
    operation.stop(*(operation.axis(tensor, number) for number in dimensions(operation)))
    return _without(operation)


def dimensions(operation: Operation) -> list[int]:
    """The axes that an operation reads as a whole, all where it names none."""
    tensor, given = operation["self"], operation["dim"]
    if given is None or given == []:
        return list(range(tensor.dim()))
    return [number % max(tensor.dim(), 1) for number in (given if isinstance(given, list | tuple) else [given])]


def _without(operation: Operation) -> Axes:
    gone = dimensions(operation)
    axes = operation.axes(operation["self"])
    if operation["keepdim"]:
        return tuple(None if number in gone else axis for number, axis in enumerate(axes))
    return tuple(axis for number, axis in enumerate(axes) if number not in gone)


@register("_softmax", "_log_softmax", "cumsum", "cumprod", "logcumsumexp", "sort", "topk", "argsort", "flip", "roll")
def _along(operation: Operation) -> Axes:
    tensor = operation["self"]
    given = operation.arguments.get("dims", operation.arguments.get("dim", -1))
    for number in given if isinstance(given, list | tuple) else [given]:
        operation.stop(operation.axis(tensor, number))
    return tuple(
        axis if operation.outputs[0].shape[number] == tensor.shape[number] else None
        for number, axis in enumerate(operation.axes(tensor))
    )


@register("native_batch_norm", "_native_batch_norm_legit", "_native_batch_norm_legit_no_training")
def _batch_norm(operation: Operation) -> list[Axes]:
    names = ("weight", "bias", "running_mean", "running_var")
    given = [(operation[name], 0) for name in names if operation[name] is not None]
    channels = operation.same((operation["input"], 1), *given)
    first, second, *others = operation.axes(operation["input"])
    return [
        (first, channels if given else second, *others),
        *((channels,) if out.dim() else () for out in operation.outputs[1:]),
    ]


@register("native_layer_norm")
def _layer_norm(operation: Operation) -> list[Axes]:
    tensor = operation["input"]
    if len(operation["normalized_shape"]) > 1:
        return _unknown(operation)
    operation.trace.exact = False
    given = [(operation[name], -1) for name in ("weight", "bias") if operation[name] is not None]
    axes = (*operation.axes(tensor)[:-1], operation.same((tensor, -1), *given))
    return [axes, *((None,) * out.dim() for out in operation.outputs[1:])]
