"""The same module without some of its channels: smaller tensors, layers that know their sizes, and a check of both."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gnn.compression.channel_groups import slice_state
from gnn.compression.channel_trace import Run, Traced, Width
from gnn.compression.layer_calls import LayerError, all_tensors, first_float, layer_calls, twin_of
from gnn.errors import SettingError
from gnn.layers.resize import READ, WRITTEN
from gnn.layers.rules import channels

# Rounding of a deep model; a wrong slice is off by far more.
TOLERANCE = 1e-3


@torch.no_grad()
def narrow_model(model: Any, traced: Traced, kept: Sequence[Tensor], run: Run) -> None:  # noqa: ANN401
    """Cut the channels where `kept`, one bool vector for each group, is False out of a model.

    A model that describes itself by settings reads them off its layers in a method `settle`.

    Raises:
        SettingError: What is left does not run, or gives something else than the model with zeros in these channels.
    """
    wide = silenced(model, traced, kept)
    _cut_tensors(model, slice_state(model.state_dict(), traced.groups, kept), traced)
    _cut_sizes(model, traced, kept)
    if hasattr(model, "settle"):
        model.settle()
    _check(wide, model, traced, kept, run)


def _cut_tensors(model: nn.Module, state: dict[str, Tensor], traced: Traced) -> None:
    _replace_tensors(model, state)
    for group in traced.groups:
        if group.mask is not None:
            model._buffers[group.mask] = state[group.mask]


def _replace_tensors(model: nn.Module, state: dict[str, Tensor]) -> None:
    """Give the model the tensors of a state; one that two layers share stays shared."""
    cut: dict[Tensor, Tensor] = {}
    for path, layer in model.named_modules():
        for tensors in (layer._parameters, layer._buffers):
            for name, tensor in tensors.items():
                full_name = f"{path}.{name}".lstrip(".")
                if tensor is None or full_name not in state:
                    continue
                if tensor not in cut:
                    trained = isinstance(tensor, nn.Parameter)
                    sliced = state[full_name]
                    cut[tensor] = nn.Parameter(sliced, tensor.requires_grad) if trained else sliced
                tensors[name] = cut[tensor]  # pyright: ignore[reportArgumentType]


def _cut_sizes(model: nn.Module, traced: Traced, kept: Sequence[Tensor]) -> None:
    """Tell every layer how wide it is now, in the attributes that layers commonly have."""
    for path, layer in model.named_modules():
        given, gave = traced.widths.get(path, ((), ()))
        for names, width in ((READ, given), (WRITTEN, gave)):
            before, after = sum(size for _, size in width), int(_mask(width, kept).sum())
            for name in names:
                # A property is read off other attributes.
                if name in vars(layer):
                    setattr(layer, name, _resized(getattr(layer, name), before, after, getattr(layer, "heads", 1)))
        weight = layer._parameters.get("weight")
        for names in (("out_features", "in_features"), ("out_channels", "in_channels")):
            # A linear layer, whose weight may have been read by others.
            if weight is not None and weight.dim() == 2 and vars(layer).keys() >= set(names):
                for name, size in zip(names, weight.shape, strict=True):
                    setattr(layer, name, size)
        if "channel_list" in vars(layer):
            # PyG's MLP.
            mlp: Any = layer
            mlp.channel_list = [mlp.lins[0].in_channels, *(lin.out_channels for lin in mlp.lins)]


def _resized(size: Any, before: int, after: int, heads: int) -> Any:  # noqa: ANN401
    if isinstance(size, tuple):
        return tuple(_resized(one, before, after, heads) for one in size)
    if size == before:
        return after
    return after // heads if isinstance(size, int) and size * heads == before else size


def _mask(width: Width, kept: Sequence[Tensor]) -> Tensor:
    """Which entries of an axis are left."""
    parts = [torch.ones(size, dtype=torch.bool) if group is None else kept[group].cpu() for group, size in width]
    return torch.cat(parts) if parts else torch.ones(0, dtype=torch.bool)


def _check(wide: nn.Module, narrow: nn.Module, traced: Traced, kept: Sequence[Tensor], run: Run) -> None:
    twin = twin_of(narrow)
    try:
        with layer_calls(twin, lambda _path, _layer, forward, _given: forward()):
            ours = list(all_tensors(run(twin)))
    except LayerError as error:
        raise SettingError(
            f"{error.place} does not run without the channels that would be removed: {error}; {_remedy(error.layer)}"
        ) from error
    theirs = list(all_tensors(run(wide)))
    same = len(ours) == len(theirs) and all(
        _same(one, other, exact=traced.exact) for one, other in zip(ours, theirs, strict=True)
    )
    if not same:
        path = _first_difference(wide, twin_of(narrow), traced, kept, run)
        layer = narrow.get_submodule(path)
        raise SettingError(
            f"layer {path!r} ({type(layer).__name__}) gives something else without the channels that would be removed "
            f"than with zeros in their place; {_remedy(layer)}"
        )


def silenced(model: nn.Module, traced: Traced, kept: Sequence[Tensor]) -> nn.Module:
    """The model with zeros in all tensors of the channels that would be removed."""
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for group, left in zip(traced.groups, kept, strict=True):
        for part in group.slices:
            entries = state[part.tensor].narrow(part.axis, part.offset, group.channels)
            entries.movedim(part.axis, 0)[~left] = 0
    wide = twin_of(model)
    _replace_tensors(wide, state)
    return wide


def _same(one: Tensor, other: Tensor, *, exact: bool) -> bool:
    if one.shape != other.shape or not one.is_floating_point() or not exact:
        return one.shape == other.shape
    scale = float(other.abs().max()) if other.numel() else 0.0
    return torch.allclose(one, other, rtol=TOLERANCE, atol=TOLERANCE * scale, equal_nan=True)


def _first_difference(wide: nn.Module, narrow: nn.Module, traced: Traced, kept: Sequence[Tensor], run: Run) -> str:
    """The first layer, in the order in which they return, that makes something else of the same inputs."""
    for (path, *ours), (_, *theirs) in zip(_passes(narrow, run), _passes(wide, run), strict=False):
        same = [
            one is None or other is None or _same(one, _left(other, width, kept), exact=traced.exact)
            for one, other, width in zip(ours, theirs, traced.widths.get(path, ((), ())), strict=True)
        ]
        if not same[1]:
            # Otherwise something between the layers of its parent did.
            return path if same[0] else path.rpartition(".")[0]
    return ""


def _left(tensor: Tensor, width: Width, kept: Sequence[Tensor]) -> Tensor:
    mask = _mask(width, kept).to(tensor.device)
    return tensor[..., mask] if tensor.dim() and tensor.shape[-1] == len(mask) else tensor


def _passes(model: nn.Module, run: Run) -> list[tuple[str, Tensor | None, Tensor | None]]:
    """What each layer was given and what it gave, in the order in which they return."""
    found: list[tuple[str, Tensor | None, Tensor | None]] = []

    def call(path: str, _layer: nn.Module, forward: Callable[[], Any], given: list[Tensor]) -> object:
        read = first_float(given)
        before = None if read is None else read.clone()
        outputs = forward()
        found.append((path, before, first_float(list(all_tensors(outputs)))))
        return outputs

    with layer_calls(model, call):
        run(model)
    return found


def _remedy(layer: nn.Module) -> str:
    if channels.of(layer) is None:
        return channels.reason(layer)
    return f"mend the rule of {type(layer).__name__} in gnn.layers.rules.channels"
