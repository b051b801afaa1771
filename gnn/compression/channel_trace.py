"""Which channels of any module can only be removed together, found by following one real pass."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakIdKeyDictionary

from gnn.compression import channel_rearrangements as _channel_rearrangements  # noqa: F401  (registers its rules)
from gnn.compression.channel_groups import ChannelGroup, ChannelSlice
from gnn.compression.channel_operations import Axes, Known, Operation, follow, tensors_in
from gnn.compression.channel_spaces import GIVEN, NUMBERED, Space, Spaces, Stay
from gnn.compression.layer_calls import LayerError, all_tensors, first_float, layer_calls, twin_of
from gnn.errors import SettingError
from gnn.layers.rules import Axis, Channels, channels

Run = Callable[[nn.Module], object]
# As wide as the shapes they are made of, which may be those of a tensor without channels.
SHAPED = ("expand", "repeat", "zeros", "ones", "full", "empty", "rand", "randn")
# What a small change of its input may change altogether.
JUMPS = ("sort", "argsort", "topk", "nonzero", "unique2", "_unique2", "argmax", "argmin", "_local_scalar_dense")


# The channels along an axis: the number of a group, or None for channels that all stay, and how many of it there are.
Width = tuple[tuple[int | None, int], ...]


@dataclass(frozen=True, eq=False)
class Traced:
    """The channel groups of a module, in the order in which the pass met them.

    `untouched` has the layers that keep channels for another reason than that inputs or outputs have them. `widths` has
    the last axes of what each layer that was called was given, and of what it gave. `exact` says whether the model
    gives without some channels what it gives with zeros in their place.
    """

    groups: tuple[ChannelGroup, ...]
    untouched: Mapping[str, str]
    widths: Mapping[str, tuple[Width, Width]]
    exact: bool


def trace_channels(model: nn.Module, run: Run, *, prepares: bool = True) -> Traced:
    """Follow one pass of the model in evaluation mode, operation by operation.

    Every axis of every parameter and buffer is followed through everything that the pass does with it, whoever reads
    it: products join what one layer writes to what the next one reads, sums and products of entries unite, a
    concatenation stands side by side. A layer with a rule of `gnn.layers.rules.channels` is not looked into. Channels
    that meet an operation which is not understood stay, and its layer is listed. A model with a buffer `kept_features`
    can lose input features where the pass `prepares` its inputs, and does not find them in an example.

    Raises:
        SettingError: The pass raised something; the sentence names the layer in which it happened.
    """
    twin = twin_of(model)
    trace = _Trace(twin)
    try:
        with torch.no_grad(), layer_calls(twin, trace.call), trace:
            outputs = run(twin)
    except LayerError as error:
        raise SettingError(f"{error.place} does not run on the example: {error}") from error
    for tensor in all_tensors(outputs):
        for space in trace.axes(tensor):
            trace.spaces.keep(space, GIVEN)
    return trace.result("kept_features" if prepares and "kept_features" in twin._buffers else None)


@dataclass(frozen=True, eq=False)
class _Followed:
    axes: Axes
    # Made of nothing but the model's own numbers and of shapes; made of one of those numbers at all.
    weight: bool
    depends: bool


def _names_of_state(model: nn.Module) -> dict[int, str]:
    """The name of every tensor of the state, by identity; one that has two names goes by the first."""
    named = (*model.named_parameters(), *model.named_buffers())
    saved = model.state_dict(keep_vars=True)
    return {id(tensor): name for name, tensor in named if name in saved and tensor.is_floating_point()}


class _Trace(TorchDispatchMode, Known):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.spaces = model, Spaces()
        self.paths: list[str] = []
        self.inside_rule = False
        self.called: dict[str, tuple[Space | int, Space | int]] = {}
        self.met: dict[str, Axes] = {}
        self._names = _names_of_state(model)
        self._blocks: dict[tuple[str, int], Space] = {}
        self._followed: Any = WeakIdKeyDictionary()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        kwargs = kwargs or {}
        outputs = func(*args, **kwargs)
        if not self.inside_rule:
            self._follow(func, args, kwargs, outputs)
        return outputs

    def _follow(self, func: Any, args: Any, kwargs: dict[str, Any], outputs: object) -> None:  # noqa: ANN401
        inputs = [self.followed(tensor) for tensor in tensors_in((*args, *kwargs.values()))]
        name = func._schema.name.removeprefix("aten::").removeprefix("new_")
        if not any(inputs) and name not in SHAPED:
            return
        operation = Operation(func, args, kwargs, self)
        operation.outputs = list(tensors_in((outputs,)))
        weight = all(one is not None and one.weight for one in inputs)
        depends = any(one is not None and one.depends for one in inputs)
        self.exact &= not (depends and name in JUMPS)
        for output, axes in zip(
            operation.outputs, follow(operation, pointwise=torch.Tag.pointwise in func.tags), strict=True
        ):
            if depends or any(axes):
                self._followed[output] = _Followed(axes, weight, depends)

    def followed(self, tensor: Tensor) -> _Followed | None:
        """What is known of a tensor; one of the model's own is met for the first time here."""
        found = self._followed.get(tensor)
        if found is None and (name := self._names.get(id(tensor))) is not None:
            axes = tuple(self.spaces.new(size) if size > 1 else None for size in tensor.shape)
            self.met[name] = axes
            found = self._followed[tensor] = _Followed(axes, weight=True, depends=True)
        return found

    def axes(self, tensor: Tensor) -> Axes:
        found = self.followed(tensor)
        return (None,) * tensor.dim() if found is None else found.axes

    def is_weight(self, tensor: Tensor) -> bool:
        found = self.followed(tensor)
        return found is not None and found.weight

    def depends(self, tensor: Tensor) -> bool:
        found = self.followed(tensor)
        return found is not None and found.depends

    def block(self, size: int) -> Space:
        return self._blocks.setdefault((self.path, size), self.spaces.new(size))

    def stay(self, operation: str) -> Stay:
        reason = channels.reason(self.model.get_submodule(self.path))
        return Stay(self.path, f"channels are not followed through {operation!r}; {reason}")

    @property
    def path(self) -> str:
        """The innermost layer that runs."""
        return self.paths[-1] if self.paths else ""

    def call(self, path: str, layer: nn.Module, forward: Callable[[], object], given: list[Tensor]) -> object:
        """Run a layer, and remember how wide it is; one with a rule is taken at its word."""
        rule = None if self.inside_rule else channels.of(layer)
        self.paths.append(path)
        self.inside_rule |= rule is not None
        try:
            outputs = forward()
        finally:
            self.inside_rule &= rule is None
            self.paths.pop()
        gave = list(all_tensors(outputs))
        if rule is not None:
            self._apply(layer, rule(layer), given, gave)
        elif (written := first_float(gave)) is not None and self.followed(written) is None:
            # Somebody else computes, such as NumPy.
            stay = Stay(path, f"what it gives is not followed; {channels.reason(layer)}")
            for tensor in (*given, *layer.parameters(recurse=False)):
                for space in self.axes(tensor):
                    self.spaces.keep(space, stay)
        if not self.inside_rule:
            self.called[path] = self._last(given), self._last(gave)
        return outputs

    def _last(self, tensors: list[Tensor]) -> Space | int:
        first = first_float(tensors)
        return 0 if first is None else self.axes(first)[-1] or first.shape[-1]

    def _apply(self, layer: nn.Module, known: Channels, given: list[Tensor], gave: list[Tensor]) -> None:
        """What a rule says of a layer that was called with these tensors."""
        own = dict(layer.named_parameters(remove_duplicate=False)) | dict(layer.named_buffers(remove_duplicate=False))

        def space(axis: Axis) -> Space | None:
            tensor = own.get(axis.tensor)
            found = None if tensor is None else self.axes(tensor)[axis.axis]
            if tensor is None or found is None or axis.repeats == 1:
                return found
            block = self.spaces.new(tensor.shape[axis.axis] // axis.repeats)
            self.spaces.unite(block * axis.repeats, found)
            return block

        named = {(axis.tensor, axis.axis) for axis in (*known.reads, *known.writes, *known.keeps)}
        for name, tensor in own.items():
            for number, axis in enumerate(self.axes(tensor)):
                if not {(name, number), (name, number - tensor.dim())} & named:
                    self.spaces.keep(axis, GIVEN)
        for tensor in given:
            self._read(tensor, [space(axis) for axis in (*known.reads, *known.keeps)], self.stay(type(layer).__name__))
        self.exact &= not known.normalises
        if known.reads or known.writes:
            written = self.spaces.unite_all(found for axis in known.writes if (found := space(axis)) is not None)
            axes: Axes = (written and written * known.heads,)
        else:
            axes = next((self.axes(tensor) for tensor in given if self.followed(tensor)), (None,))
        for output in gave:
            self._followed[output] = _Followed(
                (*(None,) * (output.dim() - len(axes)), *axes[-output.dim() :]), weight=False, depends=True
            )

    def _read(self, tensor: Tensor, spaces: list[Space | None], stay: Stay) -> None:
        for axis in self.axes(tensor)[:-1]:
            self.spaces.keep(axis, stay)
        last = self.axes(tensor)[-1] if tensor.dim() else None
        for space in spaces:
            if space is None or self.spaces.size(space) != tensor.shape[-1:].numel():
                continue
            if last is None:
                self.spaces.keep(space, GIVEN)
            else:
                self.spaces.unite(last, space)

    def result(self, features: str | None) -> Traced:
        """All that was found, once the pass is over."""
        slices: dict[int, list[ChannelSlice]] = {}
        for name, axes in self.met.items():
            for number, axis in enumerate(axes):
                offset = 0
                for group in self.spaces.groups(axis or ()):
                    slices.setdefault(group, []).append(ChannelSlice(name, number, offset))
                    offset += self.spaces.size((group,))
        stays = {group: self.spaces.stays(group) for group in slices}
        weights = {name for name, parameter in self.model.named_parameters() if parameter.dim() > 1}
        open_groups = [
            group
            for group, parts in slices.items()
            if (not stays[group] or (features and stays[group] == (NUMBERED,)))
            and any(part.tensor in weights for part in parts)
        ]
        # Input features come first, as they do in the model.
        open_groups.sort(key=lambda group: not stays[group])
        several = [group for group in open_groups if self.spaces.size((group,)) > 1]
        numbers = {group: number for number, group in enumerate(several)}
        groups = tuple(
            ChannelGroup(
                features if features and stays[group] else slices[group][0].tensor.rpartition(".")[0],
                self.spaces.size((group,)),
                tuple(slices[group]),
                features if stays[group] else None,
            )
            for group in numbers
        )

        def width(space: Space | int) -> Width:
            if isinstance(space, int):
                return ((None, space),)
            return tuple((numbers.get(group), self.spaces.size((group,))) for group in self.spaces.groups(space))

        widths = {path: (width(given), width(gave)) for path, (given, gave) in self.called.items()}
        exact = self.exact and not (self.sums_channels and self.moves_zero)
        return Traced(groups, self._untouched(stays), widths, exact)

    def _untouched(self, stays: Mapping[int, tuple[Stay, ...]]) -> dict[str, str]:
        untouched: dict[str, str] = {}
        for stay in (stay for reasons in stays.values() for stay in reasons if stay not in (GIVEN, NUMBERED)):
            untouched.setdefault(stay.layer, stay.sentence)
        met = {name.rpartition(".")[0] for name in self.met}
        for path, layer in self.model.named_modules():
            if path not in met and any(True for _ in layer.parameters(recurse=False)):
                untouched.setdefault(path, f"{type(layer).__name__} was not reached by the example")
        return untouched
