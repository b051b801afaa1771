"""A compressed model as one file that really is small and needs nothing else to be loaded."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Generic, TypeVar, overload

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from gnn.atomic_file import AnyPath, replace_file
from gnn.compression.prunable import prunable_parameters
from gnn.errors import SettingError, StorageError, UnknownNameError
from gnn.layers.resize import layer_sizes, take_sizes, take_tensors
from gnn.models import MODELS, GraphModel, RegisteredModel, bare_model, build_model, settings_mapping
from gnn.quantization.description import Quantization, empty_integer_model
from gnn.quantization.integer_model import integer_weights
from gnn.storage.codec import LARGEST_EXPANSION
from gnn.storage.container import Header, container_parts, read_container
from gnn.storage.layout import Layout, shared_names, tensor_state
from gnn.storage.precision import PRECISIONS, Precision
from gnn.storage.quotation import quoted, reason_of
from gnn.storage.state_streams import Stream, hold, pack, unpack

# What settings may ask for, in any file. More needs a file that a codec could have made of so much; where the user's
# own module is filled, it is the bound.
STATE_BYTES = 2**26
LARGEST_SETTING = 2**20
Model = TypeVar("Model", bound=nn.Module)


@dataclass(frozen=True)
class LoadedModel(Generic[Model]):
    """A model as it was saved, and what the file says about it: its registered name, or else that of its class."""

    model: Model
    model_name: str
    task: str
    precision: str


def save(
    model: nn.Module, path: AnyPath, *, model_name: str | None = None, task: str = "", precision: str = "fp32"
) -> int:
    """Write a model to `path` and return the size of the file in bytes.

    The file is a safetensors container that says all that is needed to load it (see `container_parts`). A registered
    model, known by its `model_name` or as just what its settings build, is loaded without anything else; of any other
    module the file has the tensors, their shapes and the name of the class, and `load` is told how to build it. A model
    that runs on integers is stored as its codes, two in a byte up to 4 bits, before entropy coding. "fp32" keeps every
    bit; "fp16", "int8" and "int4" hold the prunable weights in fewer (see `gnn.storage.precision`), all else in full.
    The same model gives the same bytes. They are written through a temporary file (see `replace_file`). What PyTorch
    has put around the model is left out. Raises `UnknownNameError`, `SettingError` for weights that `bare_model`
    refuses, and `StorageError` for a model that the format or the precision has no room for and for a path that cannot
    be written.
    """
    if model_name is not None and MODELS[model_name].empty is not None:
        model_name = None  # Its reader builds it.
    model, chosen = bare_model(model), PRECISIONS[precision]
    if model_name is not None and not isinstance(model, GraphModel):
        raise StorageError(f"the model cannot be stored: it is a {type(model).__name__}, which is no GraphModel")
    header = _header_of_any(model, task, precision)
    streams = pack(tensor_state(model), Layout.of(model), chosen)
    try:
        parts = container_parts(_header_of_registered(model, model_name, header, streams) or header, streams)
    except StorageError as error:
        raise StorageError(f"the model cannot be stored: it {error}") from error
    try:
        with replace_file(path) as file:
            for part in parts:
                file.write(part)
    except OSError as error:
        raise StorageError(f"{path} cannot be written ({error.strerror}); name a file that you may write to") from error
    return sum(map(len, parts))


def as_stored(model: nn.Module, precision: str) -> dict[str, Tensor]:
    """The state that `load` gives back after `save` with this precision, without a file."""
    model, chosen = bare_model(model), PRECISIONS[precision]
    layout, state = Layout.of(model), tensor_state(model)
    state |= {name: layout.weight(name, chosen.restore(held)) for name, held in hold(state, layout, chosen)}
    first = shared_names(model)
    return {name: state[first.get(name, name)] for name in model.state_dict()}


@overload
def load(path: AnyPath) -> LoadedModel[GraphModel]: ...
@overload
def load(path: AnyPath, *, build: Callable[[], Model]) -> LoadedModel[Model]: ...
def load(path: AnyPath, *, build: Callable[[], nn.Module] | None = None) -> LoadedModel[Any]:
    """Read a model file into a fresh model, in evaluation mode; raises `StorageError` with one sentence for any damage.

    What `build` makes gets the file's tensors, narrower where those are narrower; a file of a registered model needs no
    `build`. Nothing of a file is executed or imported, and no memory is taken for what it merely claims: its header,
    its settings and the shapes it describes are compared with each other and with what may be believed first.
    """
    try:
        header, streams = read_container(path)
        precision = _precision(header.precision)
        if build is None:
            layout = _registered_layout(header, streams, precision)
            state = unpack(streams, layout, precision)
            _check_feature_mask(header, state)
            model = _quantized(build_model(header.model, header.settings or {}), header)
        else:
            model = _built(build(), header)
            layout = Layout.of(model)
            _check_described(layout, header, precision)
            state = unpack(streams, layout, precision)
        model.load_state_dict(state | {name: state[first] for name, first in shared_names(model).items()})
    except StorageError as error:
        raise StorageError(f"{path} {error}") from error
    model.eval()
    return LoadedModel(model, header.model, header.task, header.precision)


def _header_of_any(model: nn.Module, task: str, precision: str) -> Header:
    """What a file says of a module that its reader builds."""
    quantization = getattr(model, "quantization", None)
    quantization = quantization if isinstance(quantization, Quantization) else None
    if quantization is not None and precision != "fp32":
        raise StorageError(
            f"the model cannot be stored in {precision}: its weights are codes already, and what else it has is needed "
            "in full; leave the precision out"
        )
    layout = Layout.of(model)
    other = [name for name, _, _ in prunable_parameters(model) if name in layout.others]
    if other and precision != "fp32":
        raise StorageError(
            f"the model cannot be stored in {precision}: its weight {other[0]!r} is no float32; use model.float()"
        )
    return Header(
        model=type(model).__name__,
        settings=None,
        task=task,
        precision=precision,
        tensors=layout.described(PRECISIONS[precision].bit_width),
        quantization=None if quantization is None else quantization.mapping(),
        weights=None
        if quantization is None
        else {name: list(weight.shape) for name, weight in integer_weights(model).items()},
        sizes=layer_sizes(model),
    )


def _header_of_registered(
    model: nn.Module, model_name: str | None, header: Header, streams: Mapping[str, Stream]
) -> Header | None:
    """What a file says of a registered model; None for one without a name that is not just what its settings build."""
    builds = {MODELS[name].build: name for name in MODELS if isinstance(MODELS[name], RegisteredModel)}
    # One with quantizers is a class made of the registered one, which may be made of another registered one.
    name = model_name or next((builds[made_of] for made_of in type(model).__mro__ if made_of in builds), None)
    if name is None or not isinstance(model, GraphModel):
        return None
    header = replace(header, model=name, settings=settings_mapping(model), weights=None, sizes=None)
    try:
        # What `load` would refuse must not take the place of a good file.
        _registered_layout(header, streams, PRECISIONS[header.precision])
        if type(model) is not type(_build_without_memory(header)):
            raise StorageError(f"is a {type(model).__name__}, which is no model {name!r}")
        _check_feature_mask(header, tensor_state(model))
    except StorageError:
        if model_name is None:
            return None
        raise
    return header


def _precision(name: str) -> Precision:
    try:
        return PRECISIONS[name]
    except UnknownNameError as error:
        known = ", ".join(PRECISIONS)
        raise StorageError(
            f"is stored as {quoted(name)}, which this library does not know; valid are: {known}"
        ) from error


def _registered_layout(header: Header, streams: Mapping[str, Stream], precision: Precision) -> Layout:
    """The layout of the model that a header's settings ask for, when that is the one it describes."""
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
    layout = Layout.of(_build_without_memory(header))
    if (asked := layout.size_bytes()) > most_bytes:
        raise StorageError(f"has settings that ask for {asked} bytes; at most {most_bytes} fit into such a file")
    _check_described(layout, header, precision)
    return layout


def _check_described(layout: Layout, header: Header, precision: Precision) -> None:
    expected = layout.described(precision.bit_width)
    if different := expected.keys() ^ header.tensors.keys():
        raise StorageError(
            f"describes other tensors than its model has: {quoted(min(different))} is missing or too many"
        )
    for name, description in expected.items():
        if header.tensors[name] != description:
            described = quoted(header.tensors[name])
            raise StorageError(f"describes tensor {name!r} as {described}, its model's is {description}")


def _built(model: Model, header: Header) -> Model:
    """The user's module with tensors of the sizes that the file describes, or the integer model that it makes."""
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
                plain = build_model(header.model, header.settings or {})
            return _quantized(plain, header)
    except StorageError:
        raise
    except Exception as error:
        # What a constructor makes of settings that no one ever tried is not known; its first line says enough.
        raise StorageError(f"has settings that make no model {header.model!r} ({reason_of(error)})") from error


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


def _check_feature_mask(header: Header, state: Mapping[str, Tensor]) -> None:
    """Whether the mask of used input features, where a model has one, uses as many as its settings say."""
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
