"""The settings that all classifiers of graphs share, and their checks."""

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import ClassVar, Self

from gnn.errors import SettingError
from gnn.layers.feature_scaling import require_feature_scaling
from gnn.models.layer_widths import require_width_of_each, settle_widths
from gnn.tasks import Task


@dataclass(frozen=True)
class GraphClassifierSettings:
    """Sizes of a stack of `layers` convolutions and a classifier. Raises `SettingError` for bad ones.

    `hidden_channels` is the width of all hidden layers or, where `width_per_layer` says so, a tuple with one for each.
    `feature_scaling` is a name from `gnn.layers.feature_scaling`; `dropout` is the share of inputs that the last linear
    layer does without while it trains.
    """

    width_per_layer: ClassVar[bool] = False
    in_channels: int
    out_channels: int
    hidden_channels: int | tuple[int, ...]
    layers: int
    dropout: float = 0.0
    feature_scaling: str = "none"

    def __post_init__(self) -> None:
        widths = settle_widths(self) if self.width_per_layer else (self.hidden_channels,)
        sizes = (self.in_channels, self.out_channels, *widths, self.layers)
        if not all(isinstance(size, int) and size >= 1 for size in sizes):
            raise SettingError(f"sizes of a graph classifier must be whole numbers from 1 on; they are {asdict(self)}")
        require_width_of_each(self.hidden_channels, self.hidden_layers)
        if not 0 <= self.dropout < 1:
            raise SettingError(
                f"dropout {self.dropout} is outside [0, 1); give the share of inputs to drop, such as 0.5"
            )
        require_feature_scaling(self.feature_scaling)

    @classmethod
    def for_task(cls, task: Task) -> Self:
        """The sizes that fit the features and classes of a task."""
        return cls(in_channels=task.feature_count, out_channels=task.output_count)  # pyright: ignore[reportCallIssue]

    @property
    def hidden_layers(self) -> int:
        """How many layers `hidden_channels` gives a width to."""
        return self.layers

    @property
    def hidden_widths(self) -> tuple[int, ...]:
        """Output channels of every hidden layer, in order."""
        hidden = self.hidden_channels
        return hidden if isinstance(hidden, tuple) else (hidden,) * self.hidden_layers

    @property
    def widths(self) -> list[tuple[int, int]]:
        """Input and output channels of every convolution."""
        return list(pairwise([self.in_channels, *self.hidden_widths]))
