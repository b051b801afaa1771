"""No compression: the control that every method is compared with."""

from dataclasses import dataclass
from typing import ClassVar

from gnn.compression.masks import Masks
from gnn.compression.registry import register_method
from gnn.models import GraphModel


@dataclass(frozen=True)
class Dense:
    """The uncompressed FP32 model."""

    method: ClassVar[str] = "dense"

    def id_parts(self) -> tuple[str, ...]:
        """A dense model has no settings."""
        return ()


@register_method(Dense)
def keep_dense(model: GraphModel, settings: Dense) -> Masks:  # noqa: ARG001
    """Leave the model as it is."""
    return Masks()
