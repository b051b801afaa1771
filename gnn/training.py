"""Fit and evaluate any model on any task."""

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gnn.determinism import deterministic
from gnn.errors import DivergenceError
from gnn.models import GraphModel
from gnn.tasks import NodeClassification
from gnn.training_settings import TrainingSettings


@dataclass(frozen=True)
class Validation:
    """How good the weights of one epoch are; a higher accuracy wins, then a lower loss."""

    accuracy: float
    loss: float

    def better_than(self, other: "Validation | None") -> bool:
        """Whether these weights would be chosen before the other ones."""
        return other is None or (self.accuracy, -self.loss) > (other.accuracy, -other.loss)


@dataclass(frozen=True)
class Fitted:
    """What a training run did: the chosen epoch (counted from 1), epochs run, CPU seconds, best validation."""

    best_epoch: int
    epochs: int
    cpu_s: float
    validation: Validation


def fit(
    model: GraphModel,
    task: NodeClassification,
    settings: TrainingSettings,
    seed: int,
    after_step: Callable[[], None] = lambda: None,
) -> Fitted:
    """Train in place and leave the weights of the epoch that was best on the validation part.

    `after_step` runs after every optimiser step; pruning uses it to keep its masks. The same model, task,
    settings and seed give bit-identical weights. Raises `DivergenceError` when the loss is not finite.
    """
    start = time.process_time()
    best: Validation | None = None
    best_epoch, best_state = 0, copy.deepcopy(model.state_dict())
    epoch = 0
    with deterministic(seed):
        inputs = model.prepare(task)
        optimizer = torch.optim.Adam(
            model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
        for epoch in range(1, settings.epochs + 1):
            loss = _step(model, task, inputs, optimizer)
            after_step()
            validation = validate(model, task, inputs)
            for part, value in (("training", loss), ("validation", validation.loss)):
                if not math.isfinite(value):
                    raise DivergenceError(
                        f"the {part} loss of {type(model).__name__} on {task.name} is {value} in epoch {epoch} with "
                        f"seed {seed}; lower the learning rate ({settings.learning_rate})"
                    )
            if validation.better_than(best):
                best, best_epoch, best_state = validation, epoch, copy.deepcopy(model.state_dict())
            elif epoch - best_epoch >= settings.patience:
                break
    model.load_state_dict(best_state)
    model.eval()
    assert best is not None  # noqa: S101  (settings have at least one epoch)
    return Fitted(best_epoch, epoch, time.process_time() - start, best)


def _step(model: GraphModel, task: NodeClassification, inputs: object, optimizer: torch.optim.Optimizer) -> float:
    model.train()
    optimizer.zero_grad(set_to_none=True)
    loss = task.loss(model(inputs), "train")
    loss.backward()
    optimizer.step()
    return loss.item()


@torch.no_grad()
def logits_of(model: GraphModel, inputs: object) -> Tensor:
    """The model's logits in evaluation mode."""
    model.eval()
    return model(inputs)


def validate(model: GraphModel, task: NodeClassification, inputs: object) -> Validation:
    """Accuracy and loss on the validation part."""
    logits = logits_of(model, inputs)
    return Validation(task.accuracy(logits, "validation"), float(task.loss(logits, "validation")))


def evaluate(model: GraphModel, task: NodeClassification) -> float:
    """Accuracy on the test part, on one thread so that it repeats exactly."""
    with deterministic(seed=0):
        return task.accuracy(logits_of(model, model.prepare(task)), "test")
