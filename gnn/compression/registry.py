"""The compression methods that are registered, and how one is called."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from torch import nn

from gnn.compression.context import Compressed, Context, TrainingContext
from gnn.models import fp32_model
from gnn.registry import Registry


class CompressionSettings(Protocol):
    """A frozen dataclass of one method's settings, registered by its `method` name.

    A case id has `id_method` in its place where the settings have one. `can_be_fine_tuned`, True where the settings do
    not say, is whether what the method leaves can be trained on.
    """

    method: ClassVar[str]

    @property
    def compresses(self) -> bool:
        """Whether at least one tensor must lose a weight."""
        ...

    def id_parts(self) -> tuple[str, ...]:
        """The settings as they stand in a case id, such as ("s0.8",)."""
        ...


Compress = Callable[[Any, Any, Context], Compressed]
Check = Callable[[Any, Any, Context], object]

METHODS: Registry["RegisteredMethod"] = Registry("method")


@dataclass(frozen=True)
class RegisteredMethod:
    """A settings class, the function that compresses a model, and one that raises what would keep it from working."""

    settings_class: type[Any]
    compress: Compress
    check: Check | None = None


def register_method(settings_class: type[Any], check: Check | None = None) -> Callable[[Compress], Compress]:
    """Decorate the function that compresses a model; it is known by `settings_class.method`.

    A `check` trains nothing and may change the model that it is given.
    """

    def decorate(compress: Compress) -> Compress:
        METHODS.add(settings_class.method, RegisteredMethod(settings_class, compress, check))
        return compress

    return decorate


def check(
    model: nn.Module,
    settings: CompressionSettings,
    training: TrainingContext | None = None,
    *,
    example: tuple[Any, ...] | None = None,
) -> None:
    """Raise the `SettingError` that `compress` would raise for such a model, before anything is trained.

    Arguments are those of `compress`; the model may have any weights.
    """
    if (check := METHODS[settings.method].check) is not None:
        check(copy.deepcopy(fp32_model(model)), settings, Context(training, example))


def compress(
    model: nn.Module,
    settings: CompressionSettings,
    training: TrainingContext | None = None,
    *,
    example: tuple[Any, ...] | None = None,
) -> Compressed:
    """Compress a copy of a model with the method that the settings belong to.

    Args:
        model: Any module in FP32; of one that PyTorch has wrapped it is the one inside.
        settings: What to do, such as `Structured(0.5)`.
        training: How the model was trained, for methods that train.
        example: Arguments of the model's forward pass, for methods that run it once, where there is no `training`.

    Raises:
        SettingError: The method needs what was not given, or `fp32_model` refuses the model.
    """
    check(model, settings, training, example=example)
    # Methods may change what they are given.
    own = copy.deepcopy(fp32_model(model))
    return METHODS[settings.method].compress(own, settings, Context(training, example))
