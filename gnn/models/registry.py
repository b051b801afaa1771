"""The models that are registered, and how one is built for a task or from a file."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, cast

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


class ModelEntry(ABC):
    """A model as generic code knows it, whoever made it: how it is built, trained, told from others and read again.

    `fit(module, task, seed)`, where there is one, trains a module in another way than the recipe says. `fp32_layers`
    names the layers that stay in FP32 when the others are quantized, `fp32_sites` the places that groups of nodes leave
    so as well. `empty()` builds the module that a file is read into, and is None where the file says it all.
    """

    fp32_layers: tuple[str, ...]
    fp32_sites: tuple[str, ...]
    fit: Any = None
    empty: Any = None

    @property
    def pretrained(self) -> bool:
        """Whether the model comes with its weights."""
        return False

    @abstractmethod
    def recipe_for(self, task: Task) -> Recipe:
        """How the model is trained on a task."""

    @abstractmethod
    def build_for(self, task: Task) -> nn.Module:
        """The module with the weights that its training begins with; raises `SettingError` when the two do not fit."""

    @abstractmethod
    def description(self, module: nn.Module) -> object:
        """What tells the module from others of the same code, as JSON values."""

    @abstractmethod
    def sources(self, module: nn.Module) -> tuple[object, ...]:
        """The classes and functions, besides those of the module's layers, whose code decides what training makes."""


@dataclass(frozen=True)
class RegisteredModel(ModelEntry):
    """An architecture, the frozen dataclass that describes it completely, and how it is trained.

    The class method `for_task` of `settings_class` gives the sizes that fit a task. `paper_recipe` is for models whose
    official code is trained in another way than what was best on validation.
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

    def build_for(self, task: Task) -> GraphModel:
        """A model with fresh weights, sized for the task; raises `SettingError` when the two do not fit."""
        if task.kind not in self.task_kinds:
            entries = {other: MODELS[other] for other in MODELS}
            fitting = [other for other, entry in entries.items() if task.kind in getattr(entry, "task_kinds", ())]
            name = next(other for other, entry in entries.items() if entry is self)
            raise SettingError(
                f"model {name!r} is for {' and '.join(self.task_kinds)}, not for {task.kind} ({task.name}); "
                f"models that fit are: {', '.join(fitting) or 'none'}"
            )
        return self.build(self.settings_class.for_task(task))

    def description(self, module: nn.Module) -> object:
        """The settings that the model is built from."""
        return settings_mapping(cast(GraphModel, module))

    def sources(self, module: nn.Module) -> tuple[object, ...]:
        """The class of the settings, and what builds the model."""
        return type(module.settings), self.build


# Of the class `ModelEntry`; who knows which of them it asks for need not say so.
MODELS: Registry[Any] = Registry("model")


def build_model_for(name: str, task: Task) -> Any:  # noqa: ANN401
    """The registered model with the weights that its training begins with; see `ModelEntry.build_for`."""
    return MODELS[name].build_for(task)


def build_model(name: str, settings: Mapping[str, object]) -> GraphModel:
    """A model from its settings as a mapping, the form a file holds them in; raises `SettingError`."""
    model = MODELS[name]
    if not isinstance(model, RegisteredModel):
        raise SettingError(f"model {name!r} has no settings; give load(path, build=...)")
    try:
        return model.build(model.settings_class(**settings))
    except TypeError as error:
        raise SettingError(f"settings of model {name!r} do not fit: {error}") from error


def settings_mapping(model: GraphModel) -> dict[str, object]:
    """The settings of a model as JSON values; `build_model` takes them back."""
    return asdict(model.settings)
