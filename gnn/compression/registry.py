"""The compression methods that are registered, and how one is called."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from gnn.compression.subject import Compressed, Subject, TrainingContext
from gnn.models import GraphModel, fp32_model
from gnn.registry import Registry


class CompressionSettings(Protocol):
    """A frozen dataclass of one method's settings, registered by its `method` name.

    A case id has `id_method` in its place where the settings have one.
    """

    method: ClassVar[str]

    @property
    def compresses(self) -> bool:
        """Whether at least one tensor must lose a weight."""
        ...

    def id_parts(self) -> tuple[str, ...]:
        """The settings as they stand in a case id, such as ("s0.8",)."""
        ...


Compress = Callable[[Subject, Any], Compressed]

METHODS: Registry["RegisteredMethod"] = Registry("method")


@dataclass(frozen=True)
class RegisteredMethod:
    """A settings class and the function that compresses a model."""

    settings_class: type[Any]
    compress: Compress


def register_method(settings_class: type[Any]) -> Callable[[Compress], Compress]:
    """Decorate the function that compresses a subject; it is known by `settings_class.method`."""

    def decorate(compress: Compress) -> Compress:
        METHODS.add(settings_class.method, RegisteredMethod(settings_class, compress))
        return compress

    return decorate


def compress(model: GraphModel, settings: CompressionSettings, training: TrainingContext | None = None) -> Compressed:
    """Compress a model with the method its settings belong to; the model itself may be changed.

    Of a model that PyTorch has wrapped it is the one inside. Methods that train need the training context and raise
    `SettingError` without it, as all do for a model that `fp32_model` refuses.
    """
    return METHODS[settings.method].compress(Subject(fp32_model(model), training), settings)
