"""What a search measures: validation scores of files, never of anything on the test part, and speed."""

import copy
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from torch import nn

from gnn.case import Case
from gnn.compression import Dense
from gnn.determinism import deterministic
from gnn.errors import DivergenceError, GnnError
from gnn.models import on_task
from gnn.runtime import Inference, compile_inference
from gnn.searching.candidates import Work
from gnn.searching.inputs import Inputs
from gnn.searching.speed import Speed, compare_speed
from gnn.shipped import ship_to
from gnn.storage import PRECISIONS, dense_size_bytes, load
from gnn.tasks import Task
from gnn.training import fit, validate
from gnn.trial import Trial

QUICK_S = 0.1


@dataclass(frozen=True, eq=False)
class DenseModel:
    """The model that a seed's candidates are compared with, and its score on the validation part.

    It took `took_s` seconds to have it, and a pass over the validation part takes `pass_s`.
    """

    trial: Trial
    score: float
    took_s: float
    pass_s: float

    @property
    def model(self) -> nn.Module:
        """The trained module."""
        return self.trial.base.model


@dataclass(frozen=True)
class FileScore:
    """A file as it was read back: the validation score of its model, and its bytes."""

    score: float
    size_bytes: int


class Measuring:
    """Dense models, files and speeds of one search, each made once.

    Args:
        inputs: The model and the task.
        folder: Where the files are.
    """

    def __init__(self, inputs: Inputs, folder: Path) -> None:
        self.inputs = inputs
        self.folder = folder
        self._dense: dict[int, DenseModel] = {}
        self._speeds: dict[Work, Speed | None] = {}

    def dense(self, seed: int) -> DenseModel:
        """Train the dense model of a seed, or read it from the cache."""
        if seed not in self._dense:
            start_s = time.perf_counter()
            trial = self._trial(Dense(), seed)
            model = trial.base.model
            trained_s = time.perf_counter()
            score = validation_score(model, trial.task)
            end_s = time.perf_counter()
            self._dense[seed] = DenseModel(trial, score, trained_s - start_s, end_s - trained_s)
        return self._dense[seed]

    def dense_s(self, seed: int) -> float:
        """How long the dense model of a seed will take, by that of the first."""
        first, trial = self.dense(0), self._trial(Dense(), seed)
        entry, store = trial.entry, self.inputs.run_context.store
        if seed in self._dense or entry.pretrained or store.path(trial.key).exists():
            return 0.0
        return max(first.took_s, first.trial.base.training_s or 0.0)

    @cached_property
    def fine_tuning_s(self) -> float:
        """How long a round of fine-tuning takes at most, by one epoch of it."""
        dense = self.dense(0)
        settings = dense.trial.recipe.fine_tuning
        start_s = time.perf_counter()
        once = replace(settings, epochs=1, patience=1, most_epochs=None)
        fit(copy.deepcopy(dense.model), dense.trial.task, once, seed=0)
        return (time.perf_counter() - start_s) * (settings.most_epochs or settings.epochs)

    @cached_property
    def dense_size_bytes(self) -> int:
        """Bytes of the dense model as torch.save writes it."""
        return dense_size_bytes(self.dense(0).model)

    @cached_property
    def _dense_inference(self) -> Inference:
        return compile_inference(self.dense(0).model, self.dense(0).trial.task, deduplicate=False)

    def files(
        self, work: Work, seed: int, precisions: Collection[str] | None = None
    ) -> Iterator[tuple[Case, FileScore | GnnError]]:
        """Compress once and write what is left in each precision; the score of each file, or why there is none.

        A model on integers has one form, any other is stored in all precisions but FP32, which FP16 halves for nothing.
        """
        trial = self._trial(work.compression, seed, fine_tune=work.fine_tune)
        try:
            compressed = trial.compress().model
        except GnnError as error:
            yield trial.case, error
            return
        stored = ("fp32",) if getattr(compressed, "quantization", None) is not None else _in_fewer_bits()
        for precision in stored if precisions is None else precisions:
            case = replace(trial.case, precision=precision)
            try:
                loaded, sizes = ship_to(self.path(case, seed), compressed, case)
                yield case, FileScore(validation_score(loaded, trial.task), sizes.payload + sizes.overhead)
            except GnnError as error:
                yield case, error

    def path(self, case: Case, seed: int = 0) -> Path:
        """Where the file of a case is."""
        return self.folder / f"{case.id}.seed{seed}"

    def loaded(self, case: Case) -> nn.Module:
        """The model of the first seed as read back from its file."""
        return load(self.path(case), build=self.dense(0).trial.entry.empty).model

    def speed(self, case: Case, budget_s: float = QUICK_S, *, again: bool = False) -> Speed | None:
        """How fast the model of the first seed is, whatever its file's precision; None where it cannot be compiled."""
        work = Work(case.compression, case.fine_tune)
        if work not in self._speeds or again:
            try:
                inference = compile_inference(self.loaded(case), self.dense(0).trial.task, deduplicate=False)
                self._speeds[work] = compare_speed(self._dense_inference, inference, budget_s)
            except GnnError:
                self._speeds[work] = None
        return self._speeds[work]

    def _trial(self, compression: object, seed: int, *, fine_tune: bool = False) -> Trial:
        case = Case(self.inputs.task, self.inputs.model, compression, fine_tune)  # pyright: ignore[reportArgumentType]
        return self.inputs.trial(case, seed)


def validation_score(model: nn.Module, task: Task) -> float:
    """The score on the validation part; raises `DivergenceError` where the outputs are no numbers."""
    with deterministic(seed=0):
        validation = validate(model, task, on_task(model, task).prepare(task))
    if validation.score != validation.score:
        raise DivergenceError(f"its validation loss is {validation.loss}")
    return validation.score


def _in_fewer_bits() -> list[str]:
    return [name for name in PRECISIONS if PRECISIONS[name].bit_width < 32]
