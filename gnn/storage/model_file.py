"""A compressed model as one file that really is small and needs nothing else to be loaded."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from gnn.atomic_file import AnyPath, write_atomically
from gnn.errors import StorageError, UnknownNameError
from gnn.models import MODELS, GraphModel, bare_model, build_model, settings_mapping
from gnn.quantization.description import Quantization, empty_integer_model
from gnn.storage.container import Header, container_bytes, read_container
from gnn.storage.layout import Layout
from gnn.storage.precision import PRECISIONS, Precision
from gnn.storage.quotation import quoted, reason_of
from gnn.storage.state_streams import hold, pack, unpack

# Far above the models here (0.9 MB at most). A file of a kilobyte can promise any size, so it is held against this
# before memory is taken.
LARGEST_STATE_BYTES = 2**26
LARGEST_SETTING = 2**20


@dataclass(frozen=True)
class LoadedModel:
    """A model as it was saved, and what the file says about it."""

    model: GraphModel
    model_name: str
    task: str
    precision: str


def save(model: GraphModel, path: AnyPath, *, model_name: str, task: str, precision: str = "fp32") -> int:
    """Write a model to `path` and return the size of the file in bytes.

    The file is a safetensors container that says all that is needed to load it (see `container_bytes`). A model that
    runs on integers is stored as its codes, two in a byte up to 4 bits, before entropy coding. "fp32" keeps
    every bit; "fp16", "int8" and "int4" hold the prunable weights in fewer (see `gnn.storage.precision`), all else in
    full. The same model gives the same bytes. They are written through a temporary file (see `replace_file`). What
    PyTorch has put around the model is left out. Raises `UnknownNameError`, `SettingError` for weights that
    `bare_model` refuses, and `StorageError` for a model that the format or the precision has no room for and for a path
    that cannot be written.
    """
    MODELS[model_name]
    model = bare_model(model)
    if not isinstance(model, GraphModel):
        raise StorageError(f"the model cannot be stored: it is a {type(model).__name__}, which is no GraphModel")
    if model.quantization is not None and precision != "fp32":
        raise StorageError(
            f"the model cannot be stored in {precision}: its weights are codes already, and what else it has is needed "
            "in full; leave the precision out"
        )
    chosen, layout, state = PRECISIONS[precision], Layout.of(model), model.state_dict()
    header = Header(
        model=model_name,
        settings=settings_mapping(model),
        task=task,
        precision=precision,
        tensors=layout.described(chosen.bit_width),
        quantization=None if model.quantization is None else model.quantization.mapping(),
    )
    streams = pack(state, layout, chosen)
    try:
        # What `load` would refuse must not take the place of a good file.
        _layout(header, chosen)
        if type(model) is not type(_build_without_memory(header)):
            raise StorageError(f"is a {type(model).__name__}, which is no model {model_name!r}")
        _check_feature_mask(header, state)
        content = container_bytes(header, streams)
    except StorageError as error:
        raise StorageError(f"the model cannot be stored: it {error}") from error
    try:
        write_atomically(path, content)
    except OSError as error:
        raise StorageError(f"{path} cannot be written ({error.strerror}); name a file that you may write to") from error
    return len(content)


def as_stored(model: GraphModel, precision: str) -> dict[str, Tensor]:
    """The state that `load` gives back after `save` with this precision, without a file."""
    model = bare_model(model)
    layout, state = Layout.of(model), model.state_dict()
    held = hold(state, layout, PRECISIONS[precision])
    return {
        name: layout.weight(name, PRECISIONS[precision].restore(held[name])) if name in held else tensor
        for name, tensor in state.items()
    }


def load(path: AnyPath) -> LoadedModel:
    """Read a model file into a fresh model, in evaluation mode; raises `StorageError` with one sentence for any damage.

    Nothing of a file is executed, and no memory is taken for what it merely claims: its header, its settings and the
    shapes it describes are compared with each other and with the limits of this module first.
    """
    try:
        header, streams = read_container(path)
        precision = _precision(header.precision)
        layout = _layout(header, precision)
        state = unpack(streams, layout, precision)
        _check_feature_mask(header, state)
        model = _quantized(build_model(header.model, header.settings), header)
        model.load_state_dict(state)
    except StorageError as error:
        raise StorageError(f"{path} {error}") from error
    model.eval()
    return LoadedModel(model, header.model, header.task, header.precision)


def _precision(name: str) -> Precision:
    try:
        return PRECISIONS[name]
    except UnknownNameError as error:
        known = ", ".join(PRECISIONS)
        raise StorageError(
            f"is stored as {quoted(name)}, which this library does not know; valid are: {known}"
        ) from error


def _layout(header: Header, precision: Precision) -> Layout:
    """The layout of the model that a header's settings ask for, when that is the one it describes."""
    try:
        MODELS[header.model]
    except UnknownNameError as error:
        known = ", ".join(MODELS)
        raise StorageError(
            f"is of model {quoted(header.model)}, which this library does not know; valid are: {known}"
        ) from error
    _check_description(header.tensors)
    _check_settings(header.settings)
    model = _build_without_memory(header)
    layout = Layout.of(model)
    _check_size(layout)
    expected = layout.described(precision.bit_width)
    if different := expected.keys() ^ header.tensors.keys():
        raise StorageError(
            f"describes other tensors than its model has: {quoted(min(different))} is missing or too many"
        )
    for name, description in expected.items():
        if header.tensors[name] != description:
            described = quoted(header.tensors[name])
            raise StorageError(f"describes tensor {name!r} as {described}, its model's is {description}")
    return layout


def _build_without_memory(header: Header) -> GraphModel:
    """A model of shapes only, given up as soon as it has more parameters than are described."""
    built = 0

    def count(_module: nn.Module, name: str, _parameter: nn.Parameter) -> None:
        nonlocal built
        built += 1
        if built > len(header.tensors):
            raise StorageError(f"describes {len(header.tensors)} tensors, but its settings ask for more ({name!r})")

    try:
        with torch.device("meta"):
            with register_module_parameter_registration_hook(count):
                plain = build_model(header.model, header.settings)
            return _quantized(plain, header)
    except StorageError:
        raise
    except Exception as error:
        # What a constructor makes of settings that no one ever tried is not known; its first line says enough.
        raise StorageError(f"has settings that make no model {header.model!r} ({reason_of(error)})") from error


def _quantized(model: GraphModel, header: Header) -> GraphModel:
    """The model itself, or the empty integer model that the header describes."""
    if header.quantization is None:
        return model
    return empty_integer_model(model, Quantization(**header.quantization))


def _check_settings(settings: Mapping[str, Any]) -> None:
    for name, value in settings.items():
        for number in value if isinstance(value, list | tuple) else (value,):
            if isinstance(number, int) and abs(number) > LARGEST_SETTING:
                given = f"{quoted(name)} of {quoted(number)}"
                raise StorageError(f"has a setting {given}; at most {LARGEST_SETTING} is stored")


def _check_feature_mask(header: Header, state: Mapping[str, Tensor]) -> None:
    """Whether the mask of used input features, where a model has one, uses as many as its settings say."""
    asked, mask = header.settings.get("kept_features"), state.get("kept_features")
    if mask is not None and not (bool((mask <= 1).all()) and int(mask.sum()) == asked):
        raise StorageError(f"uses {int(mask.count_nonzero())} input features where its settings ask for {asked}")


def _check_size(layout: Layout) -> None:
    shapes = [*layout.weights.values(), *layout.floats.values()]
    size_bytes = 4 * sum(map(prod, shapes))
    size_bytes += sum(dtype.itemsize * prod(shape) for dtype, shape in layout.others.values())
    if size_bytes > LARGEST_STATE_BYTES:
        raise StorageError(f"has settings that ask for {size_bytes} bytes; at most {LARGEST_STATE_BYTES} are stored")


def _check_description(tensors: Mapping[str, Any]) -> None:
    """Whether every tensor has a type, a shape of a credible size and a number of bits."""
    for name, description in tensors.items():
        listed = isinstance(description, list | tuple) and len(description) == 3
        shape = description[1] if listed else None
        sized = isinstance(shape, list | tuple) and all(type(size) is int and size >= 0 for size in shape)
        if not sized:
            raise StorageError(f"describes tensor {quoted(name)} as {quoted(description)}, which is no tensor")
        if prod(description[1]) > LARGEST_STATE_BYTES:
            raise StorageError(f"describes tensor {quoted(name)} as {quoted(description)}; no model here is that large")
