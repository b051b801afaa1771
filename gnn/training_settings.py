"""How long and how fast a model learns."""

import math
from dataclasses import dataclass

from gnn.errors import SettingError


@dataclass(frozen=True)
class TrainingSettings:
    """Adam with weight decay, at most `epochs`, ended after `patience` epochs without a better validation."""

    learning_rate: float
    weight_decay: float
    epochs: int
    patience: int

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.patience < 1:
            raise SettingError(f"epochs {self.epochs} and patience {self.patience} must both be at least 1")
        if not (0 < self.learning_rate < math.inf and 0 <= self.weight_decay < math.inf):
            raise SettingError(
                f"learning_rate {self.learning_rate} must be a number above 0 and weight_decay {self.weight_decay} "
                "a number not below 0"
            )
