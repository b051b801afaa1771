"""No compression: the control that every method is compared with."""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn

from gnn.compression.context import Compressed, Context
from gnn.compression.masks import Masks
from gnn.compression.registry import register_method


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
def keep_dense(model: nn.Module, settings: Dense, context: Context) -> Compressed:
    """Leave the model as it is."""
    return Compressed(model, Masks())
