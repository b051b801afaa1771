"""A compressed model as one file that really is small and needs nothing else to be loaded."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar, overload

from torch import Tensor, nn

from gnn.atomic_file import AnyPath, replace_file
from gnn.compression.prunable import prunable_parameters
from gnn.errors import StorageError, UnknownNameError
from gnn.layers.resize import layer_sizes
from gnn.models import MODELS, GraphModel, RegisteredModel, bare_model, build_model, settings_mapping
from gnn.quantization.description import Quantization
from gnn.quantization.integer_model import integer_weights
from gnn.storage.container import Header, container_parts, read_container
from gnn.storage.described_model import (
    build_without_memory,
    built_model,
    check_described,
    check_feature_mask,
    registered_layout,
    shaped_model,
)
from gnn.storage.layout import Layout, shared_names, tensor_state
from gnn.storage.precision import PRECISIONS, Precision
from gnn.storage.quotation import quoted
from gnn.storage.state_streams import Stream, hold, pack, unpack

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
            layout = registered_layout(header, streams, precision)
            state = unpack(streams, layout, precision)
            check_feature_mask(header, state)
            model = shaped_model(build_model(header.model, header.settings or {}), header)
        else:
            model = built_model(build(), header)
            layout = Layout.of(model)
            check_described(layout, header, precision)
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
    """What a file says of a registered model; None for one without a name that its settings do not build.

    The sizes of layers are in it only where they are narrower than the settings say.
    """
    builds = {MODELS[name].build: name for name in MODELS if isinstance(MODELS[name], RegisteredModel)}
    # One with quantizers is a class made of the registered one, which may be made of another registered one.
    name = model_name or next((builds[made_of] for made_of in type(model).__mro__ if made_of in builds), None)
    if name is None or not isinstance(model, GraphModel):
        return None
    narrow = replace(header, model=name, settings=settings_mapping(model))
    faults = []
    for found in (replace(narrow, weights=None, sizes=None), narrow):
        try:
            # What `load` would refuse must not take the place of a good file.
            registered_layout(found, streams, PRECISIONS[header.precision])
            if type(model) is not type(build_without_memory(found)):
                raise StorageError(f"is a {type(model).__name__}, which is no model {name!r}")
            check_feature_mask(found, tensor_state(model))
        except StorageError as error:
            faults.append(error)
        else:
            return found
    if model_name is None:
        return None
    raise faults[0]


def _precision(name: str) -> Precision:
    try:
        return PRECISIONS[name]
    except UnknownNameError as error:
        known = ", ".join(PRECISIONS)
        raise StorageError(
            f"is stored as {quoted(name)}, which this library does not know; valid are: {known}"
        ) from error
