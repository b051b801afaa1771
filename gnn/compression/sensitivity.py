"""Sensitivity pruning: every layer loses what the validation part can spare of it."""

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from gnn.compression.context import Compressed, Context
from gnn.compression.masks import Masks
from gnn.compression.prunable import prunable_parameters
from gnn.compression.registry import register_method
from gnn.determinism import deterministic
from gnn.errors import SettingError
from gnn.models import on_task, runnable_model
from gnn.tasks import Task
from gnn.training import Validation, validate

SPARSITIES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)
# Scores are quotients of small numbers, and a drop of 5 in 500 is not to exceed 0.01 by a rounding error.
ROUNDING = 1e-9


@dataclass(frozen=True)
class Sensitivity:
    """Largest drop of the validation score, in the score's own unit; raises `SettingError` for a negative one."""

    method: ClassVar[str] = "sensitivity"
    max_drop: float = 0.01

    def __post_init__(self) -> None:
        if not isinstance(self.max_drop, int | float) or not 0 <= self.max_drop < math.inf:
            raise SettingError(
                f"max_drop {self.max_drop!r} is no drop of a score; give 0 or a positive number, such as 0.01"
            )

    @property
    def compresses(self) -> bool:
        """A budget in which no weight can go is an error."""
        return True

    def id_parts(self) -> tuple[str, ...]:
        """The setting as it stands in a case id, such as ("d0.01",)."""
        return (f"d{self.max_drop + 0.0:.15g}",)


@dataclass(frozen=True)
class LayerSensitivity:
    """What the validation part loses when one layer alone is pruned to a sparsity; a gain is negative."""

    sparsity: float
    score_drop: float
    loss_increase: float


def _check(model: nn.Module, settings: Sensitivity, context: Context) -> None:
    if context.training_context is None:
        raise SettingError(
            "sensitivity measures pruned models on the validation part of a task; "
            "give compress() the model's training context as well"
        )


@register_method(Sensitivity, _check)
def prune_by_sensitivity(model: nn.Module, settings: Sensitivity, context: Context) -> Compressed:
    """Zero as many weights as the validation score can spare, each layer to a sparsity of its own.

    `sensitivity_scan` measures each layer alone. A step takes one layer to its next sparsity; steps are ordered by the
    increase of the validation loss for each removed weight, along the lower convex hull of each layer's measurements.
    This order removes the most weights for any loss, if the increases of several layers add up. They need not, so the
    model with all layers pruned is measured again: the result is the sparsest one along these steps whose validation
    score is at most `max_drop` below that of the dense model. Nothing is trained, and no layer loses all its weights.

    Source: the scan, Han et al., arXiv 1506.02626, Section 4 and Figure 6; the order, Shoham and Gersho, "Efficient bit
    allocation for an arbitrary set of quantizers", IEEE Transactions on Acoustics, Speech, and Signal Processing 36,
    1988.

    Raises:
        SettingError: There is no training context, the dense model's validation loss is not finite, or not even the
            first step stays within `max_drop`.
    """
    with deterministic(seed=0):
        pruned = _PrunedModels(runnable_model(model), context.training.task)
        for removed in reversed(_cheapest_path(pruned.sensitivity(), pruned.sizes)):
            masks = pruned.masks(removed)
            if pruned.dense.score - pruned.validation(masks).score <= settings.max_drop + ROUNDING:
                masks.apply(model)
                return Compressed(model, masks)
    raise SettingError(f"no step of the scan keeps a validation drop of {settings.max_drop:g}; raise max_drop")


def sensitivity_scan(model: nn.Module, task: Task) -> dict[str, tuple[LayerSensitivity, ...]]:
    """Measure what the validation part loses when each layer alone is pruned by magnitude; the model stays as it is.

    Returns:
        For every prunable weight, by its name, one measurement for each of `SPARSITIES`, ascending.

    Raises:
        SettingError: The model's validation loss is not finite, or `runnable_model` refuses the model.
    """
    with deterministic(seed=0):
        return _PrunedModels(copy.deepcopy(runnable_model(model)), task).sensitivity()


class _PrunedModels:
    """The models that come of a dense one by removing the smallest weights of its layers, on the validation part."""

    def __init__(self, model: nn.Module, task: Task) -> None:
        self.model, self.task, self.inputs = model, task, on_task(model, task).prepare(task)
        self.weights = {name: getattr(module, key).detach().clone() for name, module, key in prunable_parameters(model)}
        self.sizes = {name: weight.numel() for name, weight in self.weights.items()}
        self.ascending = {
            name: weight.cpu().abs().flatten().argsort(stable=True) for name, weight in self.weights.items()
        }
        self.dense = self.validation(Masks())
        if not math.isfinite(self.dense.loss):
            raise SettingError(f"the validation loss of the dense model is {self.dense.loss}; train it first")

    def masks(self, removed: Mapping[str, int]) -> Masks:
        """The masks that remove so many of the smallest weights of each layer."""
        return Masks({name: self._mask(name, count) for name, count in removed.items()})

    def _mask(self, name: str, removed: int) -> Tensor:
        weight = self.weights[name]
        kept = torch.ones(weight.numel(), dtype=torch.bool)
        kept[self.ascending[name][:removed]] = False
        return kept.view(weight.shape).to(weight.device)

    @torch.no_grad()
    def validation(self, masks: Masks) -> Validation:
        """The score and the loss under masks; the model is left dense."""
        masks.apply(self.model)
        validation = validate(self.model, self.task, self.inputs)
        for name in masks.kept:
            self.model.get_parameter(name).copy_(self.weights[name])
        return validation

    def sensitivity(self) -> dict[str, tuple[LayerSensitivity, ...]]:
        """The sensitivity of every layer, by ascending sparsity."""
        return {name: tuple(self._alone(name, share) for share in SPARSITIES) for name in self.weights}

    def _alone(self, name: str, share: float) -> LayerSensitivity:
        size = self.sizes[name]
        removed = min(round(share * size), size - 1)
        validation = self.validation(self.masks({name: removed}))
        return LayerSensitivity(removed / size, self.dense.score - validation.score, validation.loss - self.dense.loss)


def _cheapest_path(
    sensitivity: Mapping[str, tuple[LayerSensitivity, ...]], sizes: Mapping[str, int]
) -> list[dict[str, int]]:
    """How many weights each layer loses after each step: the one with the least loss per removed weight comes first."""
    steps = sorted(
        (
            ((loss - loss_before) / (removed - removed_before), name, removed)
            for name, measured in sensitivity.items()
            for (removed_before, loss_before), (removed, loss) in pairwise(_lower_hull(measured, sizes[name]))
        ),
        key=lambda step: step[0],
    )
    path = [dict.fromkeys(sizes, 0)]
    for _, name, removed in steps:
        path.append({**path[-1], name: removed})
    return path[1:]


def _lower_hull(measured: tuple[LayerSensitivity, ...], size: int) -> list[tuple[int, float]]:
    """The removed weights and the increase of the loss where no mix of two others has less loss for as many weights."""
    hull: list[tuple[int, float]] = [(0, 0.0)]
    for point in measured:
        removed, loss = round(point.sparsity * size), point.loss_increase
        if removed == hull[-1][0] or not math.isfinite(loss):
            continue
        while len(hull) > 1 and _slope(hull[-2], hull[-1]) >= _slope(hull[-1], (removed, loss)):
            hull.pop()
        hull.append((removed, loss))
    return hull


def _slope(before: tuple[int, float], after: tuple[int, float]) -> float:
    return (after[1] - before[1]) / (after[0] - before[0])
