"""Whether a model on integers says what its simulation says."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gnn.determinism import deterministic
from gnn.models import on_task, unwrapped_model
from gnn.tasks import Task


@dataclass(frozen=True)
class Agreement:
    """How two models compare on the test part: the share of equal classes and of bit-identical logits, and the largest
    difference of a logit beside the largest logit.

    The class of a pair of nodes is whether its logit is positive.
    """

    classes: float
    identical: float
    largest_difference: float
    largest_logit: float

    @classmethod
    def of(cls, integer: Tensor, simulated: Tensor) -> "Agreement":
        """Compare logits of an integer model with those of the model that it was converted from."""
        return cls(
            classes=float((_classes(integer) == _classes(simulated)).double().mean()),
            identical=float((integer == simulated).double().mean()),
            largest_difference=float((integer - simulated).abs().max()),
            largest_logit=float(simulated.abs().max()),
        )


def agreement(integer: nn.Module, simulated: nn.Module, task: Task) -> Agreement:
    """Compare the logits of both models on the test part of a task."""
    return Agreement.of(_logits(integer, task), _logits(simulated, task))


@torch.no_grad()
def _logits(model: nn.Module, task: Task) -> Tensor:
    model = unwrapped_model(model)
    with deterministic(seed=0):
        model.eval()
        asked = on_task(model, task)
        return asked.outputs(task, asked.prepare(task), "test")


def _classes(logits: Tensor) -> Tensor:
    return logits.argmax(1) if logits.dim() > 1 and logits.shape[1] > 1 else logits > 0
