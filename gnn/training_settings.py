"""How long and how fast a model learns."""

import math
from dataclasses import dataclass
from typing import Literal

from gnn.errors import SettingError


@dataclass(frozen=True)
class KroneckerPreconditioning:
    """How `gnn.preconditioning` treats the gradients of graph convolutions before each step.

    Every `update_every` steps its two factors are taken from the last pass and inverted with sqrt(`damping`) on their
    diagonals. Raises `SettingError` for values out of range.
    """

    damping: float = 0.01
    update_every: int = 50

    def __post_init__(self) -> None:
        if not (0 < self.damping < math.inf and self.update_every >= 1):
            raise SettingError(
                f"damping {self.damping} must be a number above 0 and update_every {self.update_every} be at least 1"
            )


@dataclass(frozen=True)
class TrainingSettings:
    """Adam with weight decay, ended after `patience` epochs without a better validation.

    `epochs` is the budget; while the best epoch is among its last tenth it is doubled, up to `most_epochs` (the budget
    itself when None), so that it does not truncate. `batch_size` is the number of graphs (or pairs) per step, None for
    all.
    `select_by` says which epoch is kept: the best validation score, then loss ("score"), or the lowest loss ("loss").
    `preconditioner` changes the gradients before each step. Raises `SettingError` for values out of range.
    """

    learning_rate: float
    weight_decay: float
    epochs: int
    patience: int
    batch_size: int | None = None
    select_by: Literal["score", "loss"] = "score"
    most_epochs: int | None = None
    preconditioner: KroneckerPreconditioning | None = None

    def __post_init__(self) -> None:
        counts = (self.epochs, self.patience, self.batch_size)
        if any(count is not None and count < 1 for count in counts):
            raise SettingError(
                f"epochs {self.epochs} and patience {self.patience} must both be at least 1, and so must batch_size "
                f"{self.batch_size} where it is given"
            )
        if self.most_epochs is not None and self.most_epochs < self.epochs:
            raise SettingError(f"most_epochs {self.most_epochs} must not be below epochs {self.epochs}")
        if self.select_by not in ("score", "loss"):
            raise SettingError(f"select_by {self.select_by!r} is unknown; valid are: loss, score")
        if not (0 < self.learning_rate < math.inf and 0 <= self.weight_decay < math.inf):
            raise SettingError(
                f"learning_rate {self.learning_rate} must be a number above 0 and weight_decay {self.weight_decay} "
                "a number not below 0"
            )


@dataclass(frozen=True)
class Recipe:
    """How a model is trained, and how it is fine-tuned after compression."""

    training: TrainingSettings
    fine_tuning: TrainingSettings
