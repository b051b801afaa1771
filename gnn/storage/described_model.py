"""The model that the header of a file describes, built and compared before anything is read into it."""

from collections.abc import Mapping
from dataclasses import replace
from math import prod
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from gnn.errors import SettingError, StorageError, UnknownNameError
from gnn.layers.resize import take_sizes, take_tensors
from gnn.models import MODELS, GraphModel, bare_model, build_model
from gnn.quantization.description import Quantization, empty_integer_model
from gnn.storage.codec import LARGEST_EXPANSION
from gnn.storage.container import Header
from gnn.storage.layout import Layout, tensor_state
from gnn.storage.precision import Precision
from gnn.storage.quotation import quoted, reason_of
from gnn.storage.state_streams import Stream

# What settings may ask for, in any file. More needs a file that a codec could have made of so much; where the user's
# own module is filled, it is the bound.
STATE_BYTES = 2**26
LARGEST_SETTING = 2**20
Model = TypeVar("Model", bound=nn.Module)


def registered_layout(header: Header, streams: Mapping[str, Stream], precision: Precision) -> Layout:
    """The layout of the model that a header's settings ask for, when that is the one it describes.

    Raises `StorageError` for anything else, and for settings that ask for more than such a file may.
    """
    if header.settings is None:
        raise StorageError(
            f"is a {quoted(header.model)[1:-1]}, which this library does not build; give load(path, build=...)"
        )
    try:
        MODELS[header.model]
    except UnknownNameError as error:
        known = ", ".join(MODELS)
        raise StorageError(
            f"is of model {quoted(header.model)}, which this library does not know; valid are: {known}"
        ) from error
    payload = sum(len(stream.blob) for stream in streams.values())
    most_bytes, most = max(STATE_BYTES, LARGEST_EXPANSION * payload), max(LARGEST_SETTING, payload)
    _check_shapes(header.tensors, most_bytes)
    _check_settings(header.settings, most)
    layout = Layout.of(build_without_memory(replace(header, weights=None, sizes=None)))
    if (asked := layout.size_bytes()) > most_bytes:
        raise StorageError(f"has settings that ask for {asked} bytes; at most {most_bytes} fit into such a file")
    if header.sizes is not None:
        layout = Layout.of(build_without_memory(header))
    check_described(layout, header, precision)
    return layout


def check_described(layout: Layout, header: Header, precision: Precision) -> None:
    """Raise `StorageError` where a header describes other tensors than a model has."""
    expected = layout.described(precision.bit_width)
    if different := expected.keys() ^ header.tensors.keys():
        raise StorageError(
            f"describes other tensors than its model has: {quoted(min(different))} is missing or too many"
        )
    for name, description in expected.items():
        if header.tensors[name] != description:
            described = quoted(header.tensors[name])
            raise StorageError(f"describes tensor {name!r} as {described}, its model's is {description}")


def built_model(model: Model, header: Header) -> Model:
    """A module with tensors of the sizes that the file describes, or the integer model that it makes.

    Raises `StorageError` where these do not fit into the module.
    """
    own = tensor_state(bare_model(model))
    weights = {name: ["float32", shape, 32] for name, shape in (header.weights or {}).items()}
    described = {**header.tensors, **weights}
    _check_shapes(described, None)
    narrower = {}
    for name in (name for name in own if name in described):
        tensor, (dtype, shape, _) = own[name], described[name]
        same_kind = f"torch.{dtype}" == str(tensor.dtype) and len(shape) == tensor.dim()
        if not same_kind or any(size > most for size, most in zip(shape, tensor.shape, strict=True)):
            there = [str(tensor.dtype).removeprefix("torch."), list(tensor.shape)]
            raise StorageError(
                f"holds tensor {name!r} as {quoted([dtype, shape])}, which does not fit into {there} of the "
                f"{type(model).__name__} that was built; build it with the same types and with sizes at least as large"
            )
        if tuple(shape) != tensor.shape:
            narrower[name] = tensor.new_empty(shape)
    take_tensors(model, narrower)
    layers = dict(model.named_modules())
    try:
        take_sizes(model, {path: sizes for path, sizes in (header.sizes or {}).items() if path in layers})
    except SettingError as error:
        raise StorageError(f"is of layers that the built module does not have: {error}") from error
    try:
        return _quantized(model, header)
    except Exception as error:
        raise StorageError(
            f"is quantized as no {type(model).__name__} that was built can be ({reason_of(error)})"
        ) from error


def build_without_memory(header: Header) -> GraphModel:
    """A model of shapes only, given up as soon as it has more parameters than are described.

    Raises `StorageError` for settings that make no model.
    """
    built = 0

    def count(_module: nn.Module, name: str, _parameter: nn.Parameter) -> None:
        nonlocal built
        built += 1
        if built > len(header.tensors):
            raise StorageError(f"describes {len(header.tensors)} tensors, but its settings ask for more ({name!r})")

    try:
        with torch.device("meta"):
            with register_module_parameter_registration_hook(count):
                plain = build_model(header.model, header.settings or {})
            return shaped_model(plain, header)
    except StorageError:
        raise
    except Exception as error:
        # What a constructor makes of settings that no one ever tried is not known; its first line says enough.
        raise StorageError(f"has settings that make no model {header.model!r} ({reason_of(error)})") from error


def shaped_model(model: Any, header: Header) -> Any:  # noqa: ANN401
    """What a registered model's settings build, with the sizes of its layers where the header has them."""
    return _quantized(model, header) if header.sizes is None else built_model(model, header)


def _quantized(model: Any, header: Header) -> Any:  # noqa: ANN401
    """The model itself, or the empty integer model that the header describes."""
    if header.quantization is None:
        return model
    return empty_integer_model(model, Quantization(**header.quantization))


def _check_settings(settings: Mapping[str, Any], most: int) -> None:
    for name, value in settings.items():
        for number in value if isinstance(value, list | tuple) else (value,):
            if isinstance(number, int) and abs(number) > most:
                raise StorageError(f"has a setting {quoted(name)} of {quoted(number)}; at most {most} is stored")


def check_feature_mask(header: Header, state: Mapping[str, Tensor]) -> None:
    """Raise `StorageError` where the mask of used input features uses another number of them than the settings say."""
    asked, mask = (header.settings or {}).get("kept_features"), state.get("kept_features")
    if mask is not None and not (bool((mask <= 1).all()) and int(mask.sum()) == asked):
        raise StorageError(f"uses {int(mask.count_nonzero())} input features where its settings ask for {asked}")


def _check_shapes(tensors: Mapping[str, Any], most_bytes: int | None) -> None:
    """Whether every tensor has a type, a shape of a credible size and a number of bits."""
    for name, description in tensors.items():
        listed = isinstance(description, list | tuple) and len(description) == 3
        shape = description[1] if listed else None
        sized = isinstance(shape, list | tuple) and all(type(size) is int and size >= 0 for size in shape)
        if not sized:
            raise StorageError(f"describes tensor {quoted(name)} as {quoted(description)}, which is no tensor")
        if most_bytes is not None and prod(description[1]) > most_bytes:
            raise StorageError(f"describes tensor {quoted(name)} as {quoted(description)}; no model here is that large")
