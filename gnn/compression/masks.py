"""Pruning masks that outlive torch.nn.utils.prune, and fine-tuning that keeps them."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from gnn.models import unwrapped_model
from gnn.tasks import Task
from gnn.training import Fitted, fit
from gnn.training_settings import TrainingSettings


@dataclass(frozen=True)
class Masks:
    """The compressed tensors of one model and their masks, True where a weight stays."""

    kept: dict[str, Tensor] = field(default_factory=dict)

    @torch.no_grad()
    def apply(self, model: nn.Module) -> None:
        """Set every pruned weight to +0.0 in place, so that optimisers follow; a product would leave -0.0."""
        model = unwrapped_model(model)
        for name, mask in self.kept.items():
            model.get_parameter(name).masked_fill_(~mask, 0.0)


def harden_masks(model: nn.Module, targets: list[tuple[str, nn.Module, str]]) -> Masks:
    """Turn the reparametrization of torch.nn.utils.prune into real zeros and return the masks.

    The reparametrization refreshes a weight only when its own module is called; a layer that reads the
    weight of a child, as the spline convolution does, would see stale values.
    """
    kept = {}
    for name, module, parameter in targets:
        kept[name] = getattr(module, f"{parameter}_mask").bool()
        prune.remove(module, parameter)
    masks = Masks(kept)
    masks.apply(model)
    return masks


def fine_tune(model: nn.Module, task: Task, masks: Masks, settings: TrainingSettings, seed: int) -> Fitted:
    """Train the remaining weights; the masks are applied after every step, so no pruned weight comes back."""
    return fit(model, task, settings, seed, after_step=lambda: masks.apply(model))
