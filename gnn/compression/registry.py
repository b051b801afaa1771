"""The compression methods that are registered, and what all of them return."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from gnn.compression.masks import Masks
from gnn.models import GraphModel
from gnn.registry import Registry


class CompressionSettings(Protocol):
    """A frozen dataclass of one method's settings; registering it adds its `method` name."""

    method: ClassVar[str]

    def id_parts(self) -> tuple[str, ...]:
        """The settings as they stand in a case id, such as ("s0.8",)."""
        ...


Compress = Callable[[GraphModel, Any], Masks]

METHODS: Registry["RegisteredMethod"] = Registry("method")


@dataclass(frozen=True)
class RegisteredMethod:
    """A settings class and the function that compresses a model in place."""

    settings_class: type[Any]
    compress: Compress


def register_method(settings_class: type[Any]) -> Callable[[Compress], Compress]:
    """Decorate the function that compresses a model in place; it is known by `settings_class.method`."""

    def decorate(compress: Compress) -> Compress:
        METHODS.add(settings_class.method, RegisteredMethod(settings_class, compress))
        return compress

    return decorate


def compress(model: GraphModel, settings: CompressionSettings) -> Masks:
    """Compress a model in place with the method its settings belong to."""
    return METHODS[settings.method].compress(model, settings)
