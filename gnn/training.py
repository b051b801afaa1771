"""Fit and evaluate any model on any task."""

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from gnn.determinism import deterministic
from gnn.errors import DivergenceError
from gnn.models import on_task, runnable_model, unwrapped_model
from gnn.preconditioning import preconditioning
from gnn.tasks import Task
from gnn.training_settings import TrainingSettings
from gnn.turns import offer_turn


@dataclass(frozen=True)
class Validation:
    """How good the weights of one epoch are on the validation part."""

    score: float
    loss: float

    def better_than(self, other: "Validation | None", select_by: Literal["score", "loss"] = "score") -> bool:
        """Whether these weights would be chosen before the others: a higher score, then a lower loss, or vice versa."""
        if other is None:
            return True
        if select_by == "loss":
            return (-self.loss, self.score) > (-other.loss, other.score)
        return (self.score, -self.loss) > (other.score, -other.loss)


@dataclass(frozen=True)
class Fitted:
    """What a training run did: the chosen epoch (counted from 1), epochs run, CPU seconds, best validation.

    `truncated` says that the best epoch is among the last tenth of all that were allowed: more might have been better.
    Nobody knows the epochs of a loop of the user's own, which are None.
    """

    best_epoch: int | Any
    epochs: int | Any
    cpu_s: float
    validation: Validation
    truncated: bool | Any


@dataclass(frozen=True)
class Evaluation:
    """The score on the test part, and whatever else the task reports of it."""

    score: float
    others: dict[str, float]


ParameterGroups = Callable[[nn.Module], list[dict[str, Any]]]


def one_group(model: nn.Module) -> list[dict[str, Any]]:
    """All parameters with the same settings."""
    return [{"params": list(model.parameters())}]


def fit(
    model: nn.Module,
    task: Task,
    settings: TrainingSettings,
    seed: int,
    after_step: Callable[[], None] = lambda: None,
    *,
    parameter_groups: ParameterGroups = one_group,
    penalty: Callable[[], Tensor] | None = None,
) -> Fitted:
    """Train in place and leave the weights of the epoch that was best on the validation part.

    `after_step` runs after every optimiser step; pruning uses it to keep its masks. `parameter_groups` gives Adam's
    groups, for parameters with a learning rate of their own, and `penalty` is added to the loss of every step, after
    its forward pass. The same model, task, settings and seed give bit-identical weights. Of a model that PyTorch
    has wrapped the one inside is trained. Raises `DivergenceError` when a loss is not finite, and `SettingError` for a
    model that `runnable_model` refuses.
    """
    start, model = time.process_time(), runnable_model(model)
    best: Validation | None = None
    best_epoch, best_state = 0, copy.deepcopy(model.state_dict())
    epoch, budget = 0, settings.epochs
    with deterministic(seed), preconditioning(model, settings.preconditioner) as precondition:
        optimizer = torch.optim.Adam(
            parameter_groups(model), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
        training = _Training(
            model,
            task,
            settings,
            seed,
            on_task(model, task).prepare(task),
            optimizer,
            precondition,
            after_step,
            penalty,
        )
        while epoch < budget:
            epoch += 1
            validation = _epoch(training, epoch)
            offer_turn()
            if validation.better_than(best, settings.select_by):
                best, best_epoch, best_state = validation, epoch, copy.deepcopy(model.state_dict())
            elif epoch - best_epoch >= settings.patience:
                break
            if epoch == budget and _late(best_epoch, epoch):
                budget = min(2 * budget, settings.most_epochs or budget)
    model.load_state_dict(best_state)
    model.eval()
    assert best is not None  # noqa: S101  (settings have at least one epoch)
    patience_left = epoch - best_epoch < settings.patience
    truncated = patience_left and epoch == budget and _late(best_epoch, epoch)
    return Fitted(best_epoch, epoch, time.process_time() - start, best, truncated)


def fit_with(loop: Callable[[Any, Any, int], object], model: nn.Module, task: Task, seed: int) -> Fitted:
    """Train in place with a loop of the user's own, which is called as `loop(model, task, seed)`.

    Raises `DivergenceError` when the validation loss of what it leaves is not finite.
    """
    start = time.process_time()
    with deterministic(seed):
        loop(model, task, seed)
        validation = validate(model, task, on_task(model, task).prepare(task))
    if not math.isfinite(validation.loss):
        raise DivergenceError(
            f"the validation loss of {type(model).__name__} on {task.name} is {validation.loss} after its own training "
            f"with seed {seed}; lower the learning rate of that loop"
        )
    model.eval()
    return Fitted(None, None, time.process_time() - start, validation, None)


def _late(best_epoch: int, epochs: int) -> bool:
    """Whether the best epoch is among the last tenth, so that a longer run might find a better one."""
    return 10 * best_epoch > 9 * epochs


@dataclass(frozen=True, eq=False)
class _Training:
    """What every epoch of one run needs; `precondition` runs before and `after_step` after each optimiser step.

    `penalty`, where there is one, is added to every loss.
    """

    model: nn.Module
    task: Task
    settings: TrainingSettings
    seed: int
    inputs: object
    optimizer: torch.optim.Optimizer
    precondition: Callable[[], None]
    after_step: Callable[[], None]
    penalty: Callable[[], Tensor] | None


def _epoch(training: _Training, epoch: int) -> Validation:
    """Train one epoch and look at the validation part."""
    model, task, settings = training.model, training.task, training.settings
    model.train()
    for loss in on_task(model, task).losses(task, training.inputs, settings.batch_size):
        if training.penalty is not None:
            loss = loss + training.penalty()  # noqa: PLW2901
        _require_finite("training", loss.item(), training, epoch)
        training.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        training.precondition()
        training.optimizer.step()
        training.after_step()
    validation = validate(model, task, training.inputs)
    _require_finite("validation", validation.loss, training, epoch)
    return validation


def _require_finite(part: str, loss: float, training: _Training, epoch: int) -> None:
    if not math.isfinite(loss):
        raise DivergenceError(
            f"the {part} loss of {type(training.model).__name__} on {training.task.name} is {loss} in epoch {epoch} "
            f"with seed {training.seed}; lower the learning rate ({training.settings.learning_rate})"
        )


@torch.no_grad()
def outputs_of(model: nn.Module, task: Task, inputs: object, part: str) -> Tensor:
    """The model's outputs for one part, in evaluation mode."""
    model.eval()
    return on_task(model, task).outputs(task, inputs, part)


def validate(model: nn.Module, task: Task, inputs: object) -> Validation:
    """Score and loss on the validation part."""
    outputs = outputs_of(model, task, inputs, "validation")
    loss = float(task.loss(outputs, "validation"))
    # A score of numbers that are not finite is no score; the loss tells.
    return Validation(task.score(outputs, "validation") if math.isfinite(loss) else math.nan, loss)


def evaluate(model: nn.Module, task: Task) -> Evaluation:
    """Scores on the test part, on one thread so that they repeat exactly."""
    model = unwrapped_model(model)
    with deterministic(seed=0):
        inputs = on_task(model, task).prepare(task)
        test = outputs_of(model, task, inputs, "test")
        validation = outputs_of(model, task, inputs, "validation")
        return Evaluation(task.score(test, "test"), task.other_scores(test, validation))
