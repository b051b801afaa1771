"""Models that a method trains anew: built once for a task, a model and a seed, then read from the artifact store."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from gnn.artifacts import Artifact
from gnn.compression.context import Compressed, TrainingContext
from gnn.compression.masks import Masks
from gnn.compression.registry import METHODS
from gnn.source_code import source_sha256
from gnn.training import Fitted, Validation

_MASK = "mask of "


@dataclass(frozen=True, eq=False)
class Retrained:
    """A model that was trained anew, the masks it was trained under, and the last training that made it.

    `extra_training_s` are the CPU seconds of all training that was needed for it besides that of the dense model.
    """

    model: nn.Module
    masks: Masks
    fitted: Fitted
    extra_training_s: float

    @property
    def compressed(self) -> Compressed:
        """The same as the outcome of a method."""
        return Compressed(self.model, self.masks, fitted=self.fitted, extra_training_s=self.extra_training_s)


def remember_retrained(
    training: TrainingContext,
    what: Mapping[str, Any],
    build: Callable[[], Retrained],
    structure: Callable[[], nn.Module] | None = None,
) -> Retrained:
    """Read what `build` gave before from the artifact store, or build it.

    `what` holds all that determines it besides task, model and seed, and the name of the method, whose code does so
    too. `structure` gives a model that the state fits, the initial one when None.
    """
    key = {**what, "method code": source_sha256(METHODS[what["method"]].compress)}
    artifact = training.remember(key, lambda: _to_artifact(build()))
    return _from_artifact((structure or training.initial)(), artifact)


def _to_artifact(retrained: Retrained) -> Artifact:
    masks = {f"{_MASK}{name}": mask for name, mask in retrained.masks.kept.items()}
    fitted = retrained.fitted
    facts = {
        "extra_training_s": retrained.extra_training_s,
        "best_epoch": fitted.best_epoch,
        "epochs": fitted.epochs,
        "cpu_s": fitted.cpu_s,
        "score": fitted.validation.score,
        "loss": fitted.validation.loss,
        "truncated": int(fitted.truncated),
    }
    return Artifact({**retrained.model.state_dict(), **masks}, {name: repr(fact) for name, fact in facts.items()})


def _from_artifact(model: nn.Module, artifact: Artifact) -> Retrained:
    facts = artifact.facts
    state = {name: tensor for name, tensor in artifact.tensors.items() if not name.startswith(_MASK)}
    model.load_state_dict(state)
    model.eval()
    masks = {
        name: artifact.tensors[f"{_MASK}{name}"].to(parameter.device)
        for name, parameter in model.named_parameters()
        if f"{_MASK}{name}" in artifact.tensors
    }
    fitted = Fitted(
        best_epoch=int(facts["best_epoch"]),
        epochs=int(facts["epochs"]),
        cpu_s=float(facts["cpu_s"]),
        validation=Validation(float(facts["score"]), float(facts["loss"])),
        truncated=bool(int(facts["truncated"])),
    )
    return Retrained(model, Masks(masks), fitted, float(facts["extra_training_s"]))
