"""L2 regularization while a model is trained from scratch."""

import math
from dataclasses import dataclass, replace
from typing import ClassVar

from torch import nn

from gnn.compression.context import Compressed, Context, TrainingContext
from gnn.compression.global_magnitude import GlobalMagnitude, prune_globally
from gnn.compression.masks import Masks
from gnn.compression.prunable import SparsitySettings
from gnn.compression.registry import register_method
from gnn.compression.retraining import Retrained, remember_retrained
from gnn.errors import SettingError
from gnn.models import MODELS
from gnn.training import fit


@dataclass(frozen=True)
class L2:
    """Rate of the regularization, not below 0, and the share of weights pruned afterwards, in [0, 1).

    Raises `SettingError` out of range.
    """

    method: ClassVar[str] = "l2"

    rate: float
    sparsity: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.rate, int | float) or not 0 <= self.rate < math.inf:
            raise SettingError(f"rate {self.rate!r} is no number from 0 on; give the weight decay, such as 1e-3")
        SparsitySettings(self.sparsity)

    @property
    def compresses(self) -> bool:
        """Regularization removes no weight; pruning after it does."""
        return self.sparsity > 0

    def id_parts(self) -> tuple[str, ...]:
        """The settings as they stand in a case id, such as ("r1e-3",) or ("r1e-3", "s0.9")."""
        parts = SparsitySettings(self.sparsity).id_parts() if self.sparsity > 0 else ()
        return (f"r{_as_the_paper_prints(self.rate)}", *parts)


def _as_the_paper_prints(rate: float) -> str:
    """A rate as in the paper's Table 17: 0, 1e-6, 1e-2, 0.1, 0.9, 1, 1e2."""
    if rate == 0 or 0.1 <= rate < 10:
        return f"{rate + 0.0:.15g}"
    mantissa, exponent = f"{rate:.14e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


@register_method(L2)
def regularize(model: nn.Module, settings: L2, context: Context) -> Compressed:
    """Train from scratch with the rate as weight decay in place of the recipe's; then prune globally, if asked.

    Every step g' = g + rate * w takes the place of the gradient g, biases and normalisation included, as in
    `torch.optim.Adam(weight_decay=rate)`: it is the gradient of rate / 2 * ||w||^2 added to the loss, so the paper's
    rates are weight decays. Adam divides g' by its own running size, so a weight with next to no gradient of its own
    shrinks by about the learning rate a step even at a small rate, and once rate * w outweighs g everywhere a higher
    rate changes little. The best epoch is kept as ever: one of the first where the rate ruins a model.

    Source: the paper, Section 3.3, Figure 7 and Table 17. Pruning afterwards is that of `prune_globally`; fine-tuning
    after that is the recipe's, with the recipe's own weight decay. Raises `DivergenceError` when a loss is not finite.
    """
    training = context.training
    what = {} if _trains_the_dense_model(training, settings) else {"method": L2.method, "rate": float(settings.rate)}
    trained = remember_retrained(training, what, lambda: _train(training, settings.rate))
    if not settings.compresses:
        return replace(trained.compressed, needs_dense=False)
    pruned = prune_globally(trained.model, GlobalMagnitude(settings.sparsity), context)
    return replace(trained.compressed, masks=pruned.masks, needs_dense=False)


def _trains_the_dense_model(training: TrainingContext, settings: L2) -> bool:
    own_loop = MODELS[training.model_name].fit is not None
    return settings.rate == training.recipe.training.weight_decay and not own_loop


def _train(training: TrainingContext, rate: float) -> Retrained:
    model = training.initial()
    fitted = fit(model, training.task, replace(training.recipe.training, weight_decay=float(rate)), training.seed)
    return Retrained(model, Masks(), fitted, fitted.cpu_s)
