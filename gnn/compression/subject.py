"""What a compression method is given, and what it gives back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gnn.artifacts import Artifact
from gnn.compression.masks import Masks
from gnn.errors import SettingError
from gnn.models import GraphModel
from gnn.tasks import Task
from gnn.training import Fitted
from gnn.training_settings import Recipe

Remember = Callable[[Mapping[str, object], Callable[[], Artifact]], Artifact]


@dataclass(frozen=True, eq=False)
class TrainingContext:
    """All it takes to train the model of a subject again.

    `initial` gives it with the weights that its training began with, `training_s` are the CPU seconds that this
    training took. `remember` reads what was built before for this task, model and seed from the artifact store, or
    builds it; its first argument holds whatever else determines it, as JSON values, the code included. `model_name` is
    the name the model is registered by.
    """

    model_name: str
    task: Task
    recipe: Recipe
    seed: int
    training_s: float
    initial: Callable[[], GraphModel]
    remember: Remember


@dataclass(frozen=True, eq=False)
class Compressed:
    """A compressed model, and the masks that fine-tuning has to keep.

    `fitted` describes the training that made this model when it is another one than that of the dense model, and
    `training_s` are the CPU seconds of all training up to here when they are others. `shrunk` names the tensors that
    have fewer entries than before, `quantized` those that are whole codes now. `simulated` is the model with fake
    quantization whose numbers a model on integers has to give.
    """

    model: GraphModel
    masks: Masks
    fitted: Fitted | None = None
    training_s: float | None = None
    shrunk: tuple[str, ...] = ()
    quantized: tuple[str, ...] = ()
    simulated: GraphModel | None = None

    @property
    def compressed_tensors(self) -> int:
        """How many tensors really lost a weight or bits."""
        masked = {name for name, mask in self.masks.kept.items() if not bool(mask.all())}
        return len(masked.union(self.shrunk, self.quantized))


@dataclass(frozen=True, eq=False)
class Subject:
    """A trained dense model, which the method may change in place or replace, and how it was trained."""

    model: GraphModel
    context: TrainingContext | None = None

    @property
    def training(self) -> TrainingContext:
        """How the model was trained; raises `SettingError` when nobody said."""
        if self.context is None:
            raise SettingError("this method trains the model; give compress() its training context as well")
        return self.context

    def masked(self, masks: Masks) -> Compressed:
        """The same model with some of its weights removed."""
        return Compressed(self.model, masks)
