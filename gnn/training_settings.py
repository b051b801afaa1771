"""How long and how fast a model learns."""

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
        if self.learning_rate <= 0 or self.weight_decay < 0:
            raise SettingError(
                f"learning_rate {self.learning_rate} must be above 0 and weight_decay {self.weight_decay} not below 0"
            )
