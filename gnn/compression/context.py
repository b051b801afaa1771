"""What a compression method may use besides the model, and what it gives back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from gnn.artifacts import Artifact
from gnn.compression.masks import Masks
from gnn.errors import SettingError
from gnn.models import on_task
from gnn.tasks import Task
from gnn.training import Fitted
from gnn.training_settings import Recipe

Remember = Callable[[Mapping[str, object], Callable[[], Artifact]], Artifact]


@dataclass(frozen=True, eq=False)
class TrainingContext:
    """All it takes to train a model again.

    `initial` gives it with the weights that its training began with, or with those of another seed that it is given.
    `remember` reads what was built before for this
    task, model and seed from the artifact store, or builds it; its first argument holds whatever else determines it, as
    JSON values, the code included. `model_name` is the name the model is registered by.
    """

    model_name: str
    task: Task
    recipe: Recipe
    seed: int
    initial: Callable[..., Any]
    remember: Remember


@dataclass(frozen=True, eq=False)
class Context:
    """How the model was trained, and arguments of its forward pass; a method asks for what it needs."""

    training_context: TrainingContext | None = None
    example: tuple[Any, ...] | None = None

    @property
    def training(self) -> TrainingContext:
        """How the model was trained; raises `SettingError` when nobody said."""
        if self.training_context is None:
            raise SettingError("this method trains the model; give compress() its training context as well")
        return self.training_context

    @torch.no_grad()
    def run(self, model: nn.Module) -> object:
        """One pass over the training part, or over the example; raises `SettingError` without either."""
        if self.example is not None:
            return model(*self.example)
        if self.training_context is None:
            raise SettingError(
                "this method runs the model once; give compress() arguments of its forward pass, such as "
                "example=(x, edge_index), or its training context"
            )
        task = self.training_context.task
        asked = on_task(model, task)
        return asked.outputs(task, asked.prepare(task), "train")


@dataclass(frozen=True, eq=False)
class Compressed:
    """A compressed model, and the masks that fine-tuning has to keep.

    `fitted` describes the training that made this model when it is another one than that of the dense model.
    `extra_training_s` are the CPU seconds that the method trained, and `needs_dense` says whether those of the dense
    model come on top. `shrunk` names the tensors that have fewer entries than before, `quantized` those that are whole
    codes now, `untouched` the layers that the method had no rule for, with the reason. `simulated` is the model with
    fake quantization whose numbers a model on integers has to give.
    """

    model: Any
    masks: Masks
    fitted: Fitted | None = None
    extra_training_s: float = 0.0
    needs_dense: bool = True
    shrunk: tuple[str, ...] = ()
    quantized: tuple[str, ...] = ()
    untouched: Mapping[str, str] = field(default_factory=dict)
    simulated: Any = None

    @property
    def compressed_tensors(self) -> int:
        """How many tensors really lost a weight or bits."""
        masked = {name for name, mask in self.masks.kept.items() if not bool(mask.all())}
        return len(masked.union(self.shrunk, self.quantized))
