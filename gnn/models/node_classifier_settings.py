"""The settings that the node classifiers of two graph convolutions share, and their checks."""

from dataclasses import asdict, dataclass
from typing import Self

from gnn.errors import SettingError
from gnn.tasks import Task


@dataclass(frozen=True)
class NodeClassifierSettings:
    """Sizes of two graph convolutions, and the share of inputs that dropout leaves out while they train.

    Raises `SettingError` for bad ones.
    """

    in_channels: int
    out_channels: int
    hidden_channels: int = 16
    dropout: float = 0.5

    def __post_init__(self) -> None:
        sizes = (self.in_channels, self.out_channels, self.hidden_channels)
        if not all(isinstance(size, int) and size >= 1 for size in sizes):
            raise SettingError(f"sizes of a node classifier must be whole numbers from 1 on; they are {asdict(self)}")
        if not 0 <= self.dropout < 1:
            raise SettingError(
                f"dropout {self.dropout} is outside [0, 1); give the share of inputs to drop, such as 0.5"
            )

    @classmethod
    def for_task(cls, task: Task) -> Self:
        """The sizes that fit the features and classes of a task."""
        return cls(in_channels=task.feature_count, out_channels=task.output_count)
