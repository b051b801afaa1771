"""A GPU that is none: its tensors lie in ordinary memory, but PyTorch takes them for those of another device.

An operation on tensors of both devices raises, as it does with CUDA, and so does NumPy; what a kernel reads from such a
tensor's address crashes. Only a process of its own can have it, since PyTorch keeps the devices that it began with.
"""

# ruff: noqa: ANN401  (PyTorch calls these with anything)
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import backend_registration
from torch.utils._python_dispatch import return_and_correct_aliasing
from torch.utils._pytree import tree_map_only

KEY, GPU = "PrivateUse1", "pretended:0"
MOVES = ("copy_", "_to_copy")
# They make an empty tensor and let its elements be written, which would leave it empty here.
MAKERS = ("arange", "arange.start", "arange.start_step", "eye", "eye.m", "randperm", "randperm.generator")
BEYOND_MEMORY = 2**50


class OnGpu(Tensor):
    """A tensor of the pretended GPU, and the ordinary one that holds its numbers."""

    __torch_function__ = torch._C._disabled_torch_function_impl  # pyright: ignore

    @staticmethod
    def __new__(cls: type, held: Tensor) -> "OnGpu":
        layout = {"strides": held.stride(), "storage_offset": held.storage_offset()}
        return Tensor._make_wrapper_subclass(cls, held.size(), **layout, dtype=held.dtype, device=torch.device(GPU))

    def __init__(self, held: Tensor) -> None:
        self.held = held

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _there(func, args, kwargs or {})

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        if id(self) not in memo:
            copied = OnGpu(self.held.clone())
            memo[id(self)] = nn.Parameter(copied, self.requires_grad) if isinstance(self, nn.Parameter) else copied
        return memo[id(self)]

    def data_ptr(self) -> int:
        return self.held.data_ptr() + BEYOND_MEMORY

    def tolist(self) -> Any:
        return self.held.tolist()

    def new_tensor(self, data: Any, *_: Any, **settings: Any) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return OnGpu(self.held.new_tensor(data, **settings))

    def numpy(self, **_: Any) -> Any:
        raise TypeError("can't convert a tensor of the pretended GPU to numpy; use Tensor.cpu() first")


def _there(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """An operation with tensors of the pretended GPU, done with what they hold."""
    name, asked = function.overloadpacket.__name__, kwargs.get("device")
    here = kwargs if asked is None else {**kwargs, "device": torch.device("cpu")}
    mixed: list[Tensor] = []
    found = function(*_held(args, mixed), **{key: _held(value, mixed) for key, value in here.items()})
    if mixed and name not in MOVES:
        raise RuntimeError(f"{function} expects all tensors on the same device, got one {list(mixed[0].shape)} on cpu")
    if name == "copy_" and not isinstance(args[0], OnGpu):
        return args[0]
    if asked is not None and torch.device(asked).type == "cpu":
        return found
    return return_and_correct_aliasing(function, args, kwargs, tree_map_only(Tensor, OnGpu, found))


def _held(value: Any, mixed: list[Tensor]) -> Any:
    """A value with what tensors of the pretended GPU hold; other tensors with dimensions are put into `mixed`."""
    if isinstance(value, OnGpu):
        return value.held
    if isinstance(value, Tensor) and value.dim():
        mixed.append(value)
    if isinstance(value, list | tuple):
        return type(value)(_held(part, mixed) for part in value)
    return value


def _maker(make: Any) -> Any:
    """A function that makes tensors of lists and numbers, on the pretended GPU where it is told to."""

    def made(*args: Any, **kwargs: Any) -> Any:
        if str(kwargs.get("device")) != GPU:
            return make(*args, **kwargs)
        return make(*args, **{**kwargs, "device": "cpu"}).to(GPU)

    return made


def plug_in() -> list[torch.library.Library]:
    """Make the device known to this process, which has it as long as what is returned is kept."""
    backend_registration._setup_privateuseone_for_python_backend("pretended")
    # PyTorch cannot have its inference tensors there.
    torch.inference_mode = lambda mode=True: torch.no_grad()  # noqa: ARG005  # pyright: ignore
    torch.tensor, torch.as_tensor = _maker(torch.tensor), _maker(torch.as_tensor)
    every, ours = torch.library.Library("_", "IMPL"), torch.library.Library("aten", "IMPL")
    every.fallback(lambda function, *args, **kwargs: _there(function, args, kwargs), KEY)
    for name in MAKERS:
        packet, _, overload = name.partition(".")
        maker = getattr(getattr(torch.ops.aten, packet), overload or "default")
        ours.impl(
            name,
            lambda *args, _maker=maker, **kwargs: _there(_maker, args, kwargs | {"device": torch.device(GPU)}),
            KEY,
        )
    return [every, ours]
