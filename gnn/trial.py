"""One case, one seed, once through: base model, compression, fine-tuning, file, evaluation."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, lru_cache
from typing import Any

import torch
from torch import nn

from gnn import storage, training
from gnn.artifacts import ArtifactStore
from gnn.case import Case
from gnn.compression import Compressed, Masks, TrainingContext, check, compress, fine_tune
from gnn.compression.quantized_bits import BitWidths
from gnn.compression.retraining import Retrained, fine_tune_once, remember_retrained
from gnn.compression.weight_statistics import WeightHistogram, weight_histograms
from gnn.determinism import deterministic
from gnn.errors import SettingError
from gnn.models import MODELS, ModelEntry
from gnn.quantization.agreement import Agreement, agreement
from gnn.quantization.integer_model import plain_model
from gnn.shipped import Sizes, bit_widths_of, counted_weights, ship, sizes_of
from gnn.source_code import source_sha256
from gnn.tasks import GIVEN, TASKS, DataSource, Task, load_task
from gnn.training import evaluate, fit, fit_with
from gnn.training_settings import Recipe, TrainingSettings

BRIEF_EPOCHS = 2


@dataclass(frozen=True, eq=False)
class RunContext:
    """What every run shares: where artifacts and data are, under which protocol, on which device."""

    store: ArtifactStore
    sources: Mapping[str, DataSource]
    protocol: str = "clean"
    device: str = "cpu"

    def source(self, name: str) -> DataSource:
        """Where the data of the task registered as `name` was found; a task of given data has it itself."""
        return self.sources[name] if TASKS[name].dataset else DataSource(GIVEN)

    def task(self, name: str, seed: int = 0) -> Task:
        """Load the task registered as `name` from where its data was found, with the split of a seed."""
        return _load_task(self, name, seed)


@dataclass(frozen=True)
class Run:
    """What one seed of a case gave; `model` is the one that was read back from its file.

    `accuracy` is the task's score, ROC-AUC for links. `layer_sparsity` is counted in that model, `masked_share` is what
    the method removed from each tensor by a mask, `compressed_tensors` how many tensors it took weights from,
    `near_zero_share` the share of prunable weights that are almost zero, and `state_entries` counts parameters and
    buffers. `best_epoch`, `epochs` and `truncated` are those of the base model's training or, when the method trained
    a model anew, of that one, whose loss on the validation part is `validation_loss`. Weights are counted in `plain`.
    `untouched` names the layers that the method had no rule for, and says why; `agreement` is that of a model on
    integers.
    """

    seed: int
    task_sha256: str
    accuracy: float
    other_scores: dict[str, float]
    dense_accuracy: float
    dense_parameters: int
    sparsity: float
    layer_sparsity: dict[str, float]
    masked_share: dict[str, float]
    near_zero_share: float
    parameters: int
    nonzero_parameters: int
    state_entries: int
    compressed_tensors: int
    weight_histograms: dict[str, WeightHistogram]
    size_bytes: Sizes
    training_s: float | Any
    best_epoch: int | Any
    epochs: int | Any
    truncated: bool | Any
    model: Any
    bit_widths: BitWidths
    validation_loss: float | None = None
    untouched: dict[str, str] = field(default_factory=dict)
    agreement: Agreement | None = None

    @cached_property
    def plain(self) -> Any:  # noqa: ANN401
        """The model itself or, for one that runs on integers, the plain one with the same weights in FP32."""
        return plain_model(self.model)


@dataclass(frozen=True)
class BaseModel:
    """A dense model, the CPU seconds its training took, the epoch it is of (counted from 1) and the epochs run.

    `truncated` says that more epochs than were allowed might have found a better one. None is what nobody here knows:
    all of it where the weights were given, the epochs of a training loop of the user's own.
    """

    model: Any
    training_s: float | Any
    best_epoch: int | Any
    epochs: int | Any
    truncated: bool | Any


@dataclass(frozen=True, eq=False)
class Trial:
    """One case with one seed, and everything that follows from the two, each thing made once.

    A case of a registered task is one of the data that was found for it.
    """

    case: Case
    seed: int
    run_context: RunContext

    def __post_init__(self) -> None:
        source = self.run_context.source(self.case.registered_task)
        # Frozen for those who use it.
        object.__setattr__(self, "case", self.case.on(source))

    @cached_property
    def task(self) -> Task:
        """The task with the split of the seed."""
        return self.run_context.task(self.case.registered_task, self.seed)

    @cached_property
    def recipe(self) -> Recipe:
        """How the model is trained on the task."""
        return self.entry.recipe_for(self.task)

    @property
    def entry(self) -> ModelEntry:
        """The model as it is registered."""
        return MODELS[self.case.model]

    def initial(self, seed: int | None = None) -> nn.Module:
        """The model with the weights that its training begins with, drawn anew by the seed, or by another one."""
        return _initial(self.entry, self.task, self.seed if seed is None else seed, self.run_context.device)

    @cached_property
    def key(self) -> dict[str, object]:
        """All that determines the base model, as JSON values."""
        model = self.initial()
        return {
            "kind": "base model",
            "task": self.task.sha256,
            "protocol": self.task.protocol,
            "model": [self.case.model, self.entry.description(model)],
            "training": asdict(self.recipe.training),
            "seed": self.seed,
            "code": training_code_sha256(model, type(self.task), *self.entry.sources(model)),
            "device": torch.device(self.run_context.device).type,
        }

    @cached_property
    def base(self) -> BaseModel:
        """The dense model; trained once for a task, a model and a seed, then read from the artifact store."""
        model = self.initial()
        if self.entry.pretrained:
            return BaseModel(model.eval(), None, None, None, None)

        def train() -> Retrained:
            if self.entry.fit is not None:
                fitted = fit_with(self.entry.fit, model, self.task, self.seed)
            else:
                fitted = fit(model, self.task, self.recipe.training, self.seed)
            return Retrained(model, Masks(), fitted, fitted.cpu_s)

        found = remember_retrained(self.training_context, {}, train)
        fitted = found.fitted
        return BaseModel(found.model, fitted.cpu_s, fitted.best_epoch, fitted.epochs, fitted.truncated)

    @cached_property
    def training_context(self) -> TrainingContext:
        """How the base model is trained, for methods that train it again; what they build is kept."""
        store, key = self.run_context.store, self.key
        return TrainingContext(
            model_name=self.case.model,
            task=self.task,
            recipe=self.recipe,
            seed=self.seed,
            initial=self.initial,
            remember=lambda what, build: store.load_or_build({**key, **what}, build),
        )

    def compress(self) -> Compressed:
        """The compressed model, fine-tuned if the case says so; raises `SettingError` when nothing was compressed."""
        case = self.case
        check(self.initial(), case.compression, self.training_context)  # before the base model is trained
        compressed = compress(self.base.model, case.compression, self.training_context)
        if case.compression.compresses and compressed.compressed_tensors == 0:
            raise SettingError(f"{case.id} compressed no tensor at all; raise its sparsity or use the dense case")
        if not case.fine_tune:
            return compressed
        start, recipe = (compressed.model, compressed.masks), self.recipe.fine_tuning
        tuned = fine_tune_once(self.training_context, *start, recipe, case.compression)
        return replace(compressed, extra_training_s=compressed.extra_training_s + tuned.cpu_s)

    def run(self) -> Run:
        """Take the case through the whole pipe.

        The accuracy is that of the model read back from its file, so nothing that is reported was not shipped.
        """
        compressed, base = self.compress(), self.base
        loaded, file = ship(compressed.model, self.case)
        shipped = evaluate(loaded, self.task)
        trained, plain = compressed.fitted or base, plain_model(loaded)
        return Run(
            seed=self.seed,
            task_sha256=self.task.sha256,
            accuracy=shipped.score,
            other_scores=shipped.others,
            dense_accuracy=evaluate(base.model, self.task).score,
            dense_parameters=sum(parameter.numel() for parameter in base.model.parameters()),
            **counted_weights(plain),
            compressed_tensors=compressed.compressed_tensors,
            masked_share={name: 1 - int(mask.sum()) / mask.numel() for name, mask in compressed.masks.kept.items()},
            weight_histograms=weight_histograms(base.model.state_dict(), plain),
            size_bytes=sizes_of(loaded, self.case.precision, dense=storage.dense_size_bytes(base.model), file=file),
            training_s=_sum(compressed.extra_training_s, base.training_s if compressed.needs_dense else 0),
            best_epoch=trained.best_epoch,
            epochs=trained.epochs,
            truncated=trained.truncated,
            model=loaded,
            validation_loss=None if compressed.fitted is None else compressed.fitted.validation.loss,
            untouched=dict(compressed.untouched),
            agreement=None if compressed.simulated is None else agreement(loaded, compressed.simulated, self.task),
            bit_widths=bit_widths_of(loaded, plain, self.task, self.case.precision),
        )


def brief_training(case: Case, task: Task, base: nn.Module, *, seed: int, trains: bool) -> Callable[[], object]:
    """Make a function that does a case's own training in brief: each part of it for `BRIEF_EPOCHS` epochs.

    Every call is the same work. Nothing is read from the artifact store or kept there, and `base` stays as it is. What
    does not train, such as pruning before fine-tuning, is done once, before the first call.

    Args:
        case: The case. Its own training is what its method trains, and its fine-tuning.
        task: What is trained on.
        base: The dense model.
        seed: The seed of the trial.
        trains: Whether the case has any training of its own; the dense model's is done in its place where it has not.
    """
    entry, device = MODELS[case.model], next(base.parameters()).device
    recipe = entry.recipe_for(task)
    recipe = Recipe(_in_brief(recipe.training), _in_brief(recipe.fine_tuning))

    def initial(other_seed: int | None = None) -> nn.Module:
        return _initial(entry, task, seed if other_seed is None else other_seed, device)

    def method() -> Compressed:
        context = TrainingContext(case.model, task, recipe, seed, initial, remember=lambda _what, build: build())
        return compress(base, case.compression, context)

    def tune(start: Compressed) -> object:
        return fine_tune(copy.deepcopy(start.model), task, start.masks, recipe.fine_tuning, seed)

    if not trains:
        return lambda: fit(initial(), task, recipe.training, seed)
    if not case.fine_tune:
        return method
    start = method()
    return (lambda: tune(method())) if start.extra_training_s else (lambda: tune(start))


def _in_brief(settings: TrainingSettings) -> TrainingSettings:
    return replace(settings, epochs=BRIEF_EPOCHS, patience=BRIEF_EPOCHS, most_epochs=None)


def _initial(entry: ModelEntry, task: Task, seed: int, device: torch.device | str) -> nn.Module:
    with deterministic(seed):
        return entry.build_for(task).to(device)


def _sum(*seconds: float | None) -> float | None:
    """The sum; None where a part of it is not known."""
    return None if None in seconds else sum(part for part in seconds if part is not None)


def training_code_sha256(model: nn.Module, *roots: object) -> str:
    """Fingerprint of the code that decides what a trained base model looks like, wherever it lies."""
    return source_sha256(training, *{type(module) for module in model.modules()}, *roots)


@lru_cache
def _load_task(run_context: RunContext, name: str, seed: int) -> Task:
    task = load_task(name, run_context.source(name), run_context.store, run_context.protocol, seed)
    return task.to(run_context.device)
