"""Models that are trained: built once for a task, a model and a seed, then read from the artifact store."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gnn.artifacts import Artifact
from gnn.compression.context import Compressed, TrainingContext
from gnn.compression.masks import Masks, fine_tune
from gnn.compression.registry import METHODS, CompressionSettings
from gnn.source_code import source_sha256
from gnn.tasks import fingerprint
from gnn.training import Fitted, Validation
from gnn.training_settings import TrainingSettings

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
    too; nothing else determines the dense model. `structure` gives a model that the state fits, the initial one when
    None.
    """
    key = {**what, "method code": source_sha256(METHODS[what["method"]].compress)} if what else {}
    artifact = training.remember(key, lambda: _to_artifact(build()))
    return _from_artifact((structure or training.initial)(), artifact)


def fine_tune_once(
    training: TrainingContext, model: nn.Module, masks: Masks, settings: TrainingSettings, of: CompressionSettings
) -> Fitted:
    """Fine-tune a model in place, or give it the weights that the very same fine-tuning left before.

    It is the same where weights, masks and settings are, whichever method left them and whatever precision they are
    stored in later. What it tells, CPU seconds too, is of when it was done. Where the method `of` whose settings left
    the model gave it layers of other types, these and the method's code count too.
    """
    what: dict[str, object] = {
        "fine-tuning": asdict(settings),
        "start": fingerprint({**model.state_dict(), **_named(masks)}, _plain_attributes(model)),
    }
    if _layer_types(model) - _layer_types(training.initial()):
        what["method"] = [of.method, repr(of), source_sha256(METHODS[of.method].compress)]

    def build() -> Artifact:
        fitted = fine_tune(model, training.task, masks, settings, training.seed)
        return _to_artifact(Retrained(model, Masks(), fitted, fitted.cpu_s))

    artifact = training.remember(what, build)
    model.load_state_dict(artifact.tensors)
    model.eval()
    return _fitted(artifact)


def _layer_types(model: nn.Module) -> set[type[nn.Module]]:
    return {type(module) for module in model.modules()}


def _plain_attributes(model: nn.Module) -> dict[str, str]:
    """What the state does not tell of every module, such as a rate of dropout."""
    return {
        f"{name}.{attribute}": repr(value)
        for name, module in model.named_modules()
        for attribute, value in {**vars(module), "type": type(module).__qualname__}.items()
        if attribute != "training" and (isinstance(value, bool | int | float | str) or is_dataclass(value))
    }


def _named(masks: Masks) -> dict[str, Tensor]:
    return {f"{_MASK}{name}": mask for name, mask in masks.kept.items()}


def _to_artifact(retrained: Retrained) -> Artifact:
    fitted = retrained.fitted
    facts = {
        "extra_training_s": retrained.extra_training_s,
        **{name: getattr(fitted, name) for name in ("best_epoch", "epochs", "cpu_s", "truncated")},
        **asdict(fitted.validation),
    }
    tensors = {**retrained.model.state_dict(), **_named(retrained.masks)}
    # A file of tensors takes none that shares its memory or is not contiguous.
    own = {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}
    return Artifact(own, {name: json.dumps(fact) for name, fact in facts.items()})


def _fitted(artifact: Artifact) -> Fitted:
    facts = {name: json.loads(fact) for name, fact in artifact.facts.items()}
    validation = Validation(facts["score"], facts["loss"])
    return Fitted(facts["best_epoch"], facts["epochs"], facts["cpu_s"], validation, facts["truncated"])


def _from_artifact(model: nn.Module, artifact: Artifact) -> Retrained:
    state = {name: tensor for name, tensor in artifact.tensors.items() if not name.startswith(_MASK)}
    model.load_state_dict(state)
    model.eval()
    masks = {
        name: artifact.tensors[f"{_MASK}{name}"].to(parameter.device)
        for name, parameter in model.named_parameters()
        if f"{_MASK}{name}" in artifact.tensors
    }
    return Retrained(model, Masks(masks), _fitted(artifact), json.loads(artifact.facts["extra_training_s"]))
