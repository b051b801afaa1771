"""The models that are registered, and how one is built for a task or from a file."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from gnn.errors import SettingError
from gnn.registry import Registry
from gnn.tasks import NodeClassification
from gnn.training_settings import TrainingSettings


class GraphModel(nn.Module):
    """A module that looks at a task's graph once (`prepare`) and then maps the result to logits (`forward`)."""

    settings: Any

    def prepare(self, task: NodeClassification) -> Any:  # noqa: ANN401
        """Everything about the graph that does not change between forward passes."""
        raise NotImplementedError


@dataclass(frozen=True)
class RegisteredModel:
    """An architecture, the frozen dataclass that describes it completely, and how it is trained.

    The class method `for_task` of `settings_class` gives the sizes that fit a task.
    """

    build: Callable[[Any], GraphModel]
    settings_class: type[Any]
    task_kinds: tuple[str, ...]
    training: TrainingSettings
    fine_tuning: TrainingSettings


MODELS: Registry[RegisteredModel] = Registry("model")


def build_model_for(name: str, task: NodeClassification) -> GraphModel:
    """A model with fresh weights, sized for the task; raises `SettingError` when the two do not fit."""
    model = MODELS[name]
    if task.kind not in model.task_kinds:
        fitting = sorted(other for other in MODELS if task.kind in MODELS[other].task_kinds)
        raise SettingError(
            f"model {name!r} is for {' and '.join(model.task_kinds)}, not for {task.kind} ({task.name}); "
            f"models that fit are: {', '.join(fitting) or 'none'}"
        )
    return model.build(model.settings_class.for_task(task))


def build_model(name: str, settings: Mapping[str, object]) -> GraphModel:
    """A model from its settings as a mapping, the form a file holds them in; raises `SettingError`."""
    model = MODELS[name]
    try:
        return model.build(model.settings_class(**settings))
    except TypeError as error:
        raise SettingError(f"settings of model {name!r} do not fit: {error}") from error


def settings_mapping(model: GraphModel) -> dict[str, object]:
    """The settings of a model as JSON values; `build_model` takes them back."""
    return asdict(model.settings)
