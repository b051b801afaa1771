"""No compression: the control that every method is compared with."""

from dataclasses import dataclass
from typing import ClassVar

from gnn.compression.masks import Masks
from gnn.compression.registry import register_method
from gnn.compression.subject import Compressed, Subject


@dataclass(frozen=True)
class Dense:
    """The uncompressed FP32 model."""

    method: ClassVar[str] = "dense"

    @property
    def compresses(self) -> bool:
        """Nothing: a dense model is a control."""
        return False

    def id_parts(self) -> tuple[str, ...]:
        """A dense model has no settings."""
        return ()


@register_method(Dense)
def keep_dense(subject: Subject, settings: Dense) -> Compressed:  # noqa: ARG001
    """Leave the model as it is."""
    return subject.masked(Masks())
