"""The models that are registered, and how one is built for a task or from a file."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor, nn

from gnn.errors import SettingError
from gnn.registry import Registry
from gnn.tasks import Task
from gnn.training_settings import Recipe


class GraphModel(nn.Module):
    """A module that a task can train and ask; the families in this folder fill in what a kind of task needs.

    `settings` is the frozen dataclass that the model was built from; `quantization` is None, or describes how a model
    that runs on integers was quantized. A model that can be described with fewer channels has a method `settle`, which
    reads its settings off its layers; one with a buffer `kept_features`, None while all are used, can lose input
    features.
    """

    settings: Any
    quantization: Any = None

    def prepare(self, task: Any) -> Any:  # noqa: ANN401
        """Everything about the task that does not change between passes; it is handed back as `inputs`."""
        raise NotImplementedError

    def losses(self, task: Any, inputs: Any, batch_size: int | None) -> Iterator[Tensor]:  # noqa: ANN401
        """The losses of one epoch, one per optimiser step, each computed only when it is asked for."""
        raise NotImplementedError

    def outputs(self, task: Any, inputs: Any, part: str) -> Tensor:  # noqa: ANN401
        """The outputs for one part of the task, in its order; called in evaluation mode without gradients."""
        raise NotImplementedError

    def infer(self, task: Any, inputs: Any) -> Tensor:  # noqa: ANN401
        """What one inference computes, as `task.inference_batch` says: the outputs for the test part."""
        return self.outputs(task, inputs, "test")


@dataclass(frozen=True)
class RegisteredModel:
    """An architecture, the frozen dataclass that describes it completely, and how it is trained.

    The class method `for_task` of `settings_class` gives the sizes that fit a task. `paper_recipe` is for models whose
    official code is trained in another way than what was best on validation. `fp32_layers` names the layers that stay
    in FP32 when the others are quantized, `fp32_sites` the places that groups of nodes leave so as well.
    """

    build: Callable[[Any], GraphModel]
    settings_class: type[Any]
    task_kinds: tuple[str, ...]
    recipe: Recipe
    paper_recipe: Recipe | None = None
    fp32_layers: tuple[str, ...] = ()
    fp32_sites: tuple[str, ...] = ()

    def recipe_for(self, task: Task) -> Recipe:
        """How the model is trained on a task: as tuned, or as the official code does under the paper's protocol."""
        return self.paper_recipe if task.protocol == "paper" and self.paper_recipe else self.recipe


MODELS: Registry[RegisteredModel] = Registry("model")


def build_model_for(name: str, task: Task) -> GraphModel:
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
