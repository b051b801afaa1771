"""Gradual pruning: in rounds that become smaller, with some fine-tuning after each."""

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import nn

from gnn.compression.context import Compressed, Context
from gnn.compression.iterative_pruning import prune_further
from gnn.compression.masks import Masks
from gnn.compression.prunable import SparsitySettings
from gnn.compression.registry import register_method
from gnn.compression.retraining import fine_tune_once

# Fine-tuning has 15 to 30 epochs: five parts of them are three epochs and more each.
ROUNDS = 5
LEAST_EPOCHS = 2


@dataclass(frozen=True)
class Gradual(SparsitySettings):
    """Share of all prunable weights that are removed in the end, in [0, 1)."""

    method: ClassVar[str] = "gradual"


@register_method(Gradual)
def prune_gradually(model: nn.Module, settings: Gradual, context: Context) -> Compressed:
    """Prune globally to s_k = s * (1 - (1 - k / n)^3) in rounds k = 1 to n = 5, and fine-tune between them.

    What was removed stays removed. Between two rounds the model is fine-tuned with the recipe's settings for an n-th of
    their epochs, at least 2, and its best epoch is kept. Nothing is trained after the last round: that is the
    fine-tuning of the case. With it a model is trained for up to 1.8 times as many epochs as one that is pruned once.

    Source: Zhu and Gupta, arXiv 1710.01878, equation 1 with initial sparsity 0.
    """
    training = context.training
    recipe = training.recipe.fine_tuning
    epochs = max(LEAST_EPOCHS, recipe.epochs // ROUNDS)
    part = replace(recipe, epochs=epochs, most_epochs=None)
    masks, extra_s = Masks(), 0.0
    for number in range(1, ROUNDS + 1):
        if number > 1:
            extra_s += fine_tune_once(training, model, masks, part, settings).cpu_s
        masks = prune_further(model, masks, settings.sparsity * (1 - (1 - number / ROUNDS) ** 3))
    return Compressed(model, masks, extra_training_s=extra_s)
