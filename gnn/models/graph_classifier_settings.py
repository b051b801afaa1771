"""The settings that all classifiers of graphs share, and their checks."""

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Self

from gnn.errors import SettingError
from gnn.layers.feature_scaling import require_feature_scaling
from gnn.tasks import Task


@dataclass(frozen=True)
class GraphClassifierSettings:
    """Sizes of a stack of `layers` convolutions and a classifier. Raises `SettingError` for bad ones.

    `feature_scaling` is a name from `gnn.layers.feature_scaling`; `dropout` is the share of inputs that the last linear
    layer does without while it trains.
    """

    in_channels: int
    out_channels: int
    hidden_channels: int
    layers: int
    dropout: float = 0.0
    feature_scaling: str = "none"

    def __post_init__(self) -> None:
        sizes = (self.in_channels, self.out_channels, self.hidden_channels, self.layers)
        if not all(isinstance(size, int) and size >= 1 for size in sizes):
            raise SettingError(f"sizes of a graph classifier must be whole numbers from 1 on; they are {asdict(self)}")
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
    def widths(self) -> list[tuple[int, int]]:
        """Input and output channels of every convolution."""
        return list(pairwise([self.in_channels, *[self.hidden_channels] * self.layers]))
