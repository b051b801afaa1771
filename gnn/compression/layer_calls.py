"""The calls of a model's layers, watched while it runs, and the tensors in whatever a forward pass gives."""

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from unittest import mock

from torch import Tensor, nn

from gnn.errors import GnnError

# Path and layer, what runs the layer, and the tensors it was given; what it gives back is that of the layer.
OnCall = Callable[[str, nn.Module, Callable[[], Any], list[Tensor]], Any]


class LayerError(Exception):
    """What a forward pass raised, and the innermost layer in which it did."""

    def __init__(self, path: str, layer: nn.Module, error: Exception) -> None:
        super().__init__(f"{type(error).__name__}: {str(error).partition(chr(10))[0]}")
        self.layer = layer
        self.place = f"layer {path!r} ({type(layer).__name__})" if path else f"{type(layer).__name__} itself"


@contextmanager
def layer_calls(model: nn.Module, on_call: OnCall) -> Iterator[None]:
    """Hand every call of a layer of the model to `on_call`, which has to run it.

    Raises:
        LayerError: The pass raised something that is no error of this library.
    """
    paths = {module: path for path, module in model.named_modules()}
    failed: list[str] = []
    original: Any = nn.Module.__call__

    def call(module: nn.Module, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
        path = paths.get(module)
        if path is None:
            return original(module, *args, **kwargs)
        try:
            given = list(all_tensors((args, kwargs)))
            return on_call(path, module, lambda: original(module, *args, **kwargs), given)
        except Exception:
            failed.append(path)
            raise

    try:
        with mock.patch.object(nn.Module, "__call__", call):
            yield
    except GnnError:
        raise
    except Exception as error:
        path = failed[0] if failed else ""
        raise LayerError(path, model.get_submodule(path), error) from error


def twin_of(model: nn.Module) -> nn.Module:
    """A model of the same tensors in evaluation mode, to be run once; what its layers remember stays with them.

    It spares a deep copy, which takes as long as several passes.
    """
    twins: dict[nn.Module, nn.Module] = {}
    for layer in model.modules():
        twin = twins[layer] = copy.copy(layer)
        twin.training = False
        twin._parameters, twin._buffers = dict(layer._parameters), dict(layer._buffers)
    for layer, twin in twins.items():
        twin._modules = {name: twins.get(part, part) for name, part in layer._modules.items()}  # pyright: ignore
    return twins[model]


def first_float(tensors: list[Tensor]) -> Tensor | None:
    """The tensor that holds what a layer reads or writes, by convention the first with channels."""
    return next((tensor for tensor in tensors if tensor.dim() and tensor.is_floating_point()), None)


def all_tensors(value: object) -> Iterator[Tensor]:
    """The tensors in what a layer is given or gives: in sequences, mappings and the fields of objects."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        yield from all_tensors(list(value.values()))
    elif isinstance(value, list | tuple | set):
        for entry in value:
            yield from all_tensors(entry)
    elif hasattr(value, "__dict__") and not isinstance(value, nn.Module | type) and not callable(value):
        yield from all_tensors(list(vars(value).values()))
