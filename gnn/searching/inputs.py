"""A model and a task as a search needs them, whatever they were given as."""

import copy
import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import nn

from gnn.artifacts import ArtifactStore
from gnn.atomic_file import AnyPath
from gnn.case import Case
from gnn.compression import Dense
from gnn.errors import DatasetError, SettingError
from gnn.leftovers import temporary_folder
from gnn.models import MODELS, Model, fp32_model
from gnn.registry import Registry
from gnn.tasks import GIVEN, MISSING, PLANTED_PREFIX, TASKS, DataSearch, DataSource, GivenTask, Task, locate_task
from gnn.trial import RunContext, Trial


class _UncachedTrial(Trial):
    """A trial of a model that is in no file, for a store that nobody else reads."""

    @cached_property
    def key(self) -> dict[str, object]:
        """What tells trainings of one search apart; nobody can tell when the code of such a model changes."""
        return {"kind": "base model of one search", "seed": self.seed}


@dataclass(frozen=True, eq=False)
class Inputs:
    """A model and a task under the names that they have during a search, and where its trainings are kept.

    `cached` says whether the next search finds them; `written` is how a user writes the two.
    """

    model: str
    task: str
    run_context: RunContext
    cached: bool
    written: tuple[str, str]

    def trial(self, case: Case, seed: int) -> Trial:
        """A case with a seed."""
        return (Trial if self.cached else _UncachedTrial)(case, seed, self.run_context)


@contextmanager
def registered(model: Model | nn.Module | str, task: GivenTask | Task | str, cache: AnyPath | bool) -> Iterator[Inputs]:
    """Register a model and a task for as long as the block runs, and say where trainings are kept.

    Args:
        model: A model, the name of a registered one, or a trained module, whose weights are taken as they are.
        task: A task from data that was given, the name of a registered one, or a task with its one split.
        cache: A folder, True for that of `default_cache`, or False for none.

    Raises:
        SettingError: Something else was given, or the two do not fit.
        DatasetError: The data of a registered task was not found.
    """
    with ExitStack() as stack:
        temporary = stack.enter_context(temporary_folder())
        folder = temporary if cache is False else default_cache() if cache is True else Path(cache)
        model_name = _enter(stack, MODELS, _as_model(model))
        task_name = _enter(stack, TASKS, _as_task(task))
        source = _source(task_name, folder)
        context = RunContext(ArtifactStore(folder), {task_name: source})
        written = (_written(model, "MODEL"), _written(task, "TASK"))
        dense = Trial(Case(task_name, model_name, Dense()), 0, context)
        fp32_model(dense.initial())
        if not (cached := _has_files(dense)):
            context = RunContext(ArtifactStore(temporary), {task_name: source})
        yield Inputs(model_name, task_name, context, cached, written)


def _has_files(trial: Trial) -> bool:
    """Whether all code of a model is in files, so that somebody can tell when it changes."""
    try:
        return bool(trial.key)
    except SettingError:
        return False


def default_cache() -> Path:
    """Where trained models are kept: GNN_CACHE, or `gnn-compression` in the user's cache folder."""
    if own := os.environ.get("GNN_CACHE"):
        return Path(own).absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "gnn-compression"


def _enter(stack: ExitStack, registry: Registry[Any], entry: Model | GivenTask | str) -> str:
    if isinstance(entry, str):
        registry[entry]
        return entry
    stack.enter_context(registry.temporarily(entry.name, entry))
    return entry.name


def _as_model(model: object) -> Model | str:
    if isinstance(model, Model | str):
        return model
    if not isinstance(model, nn.Module):
        raise SettingError(
            f"model is a {type(model).__name__}; give a gnn.Model, the name of a registered model or a trained module"
        )
    # The module may be trained on while its weights are those of now.
    module = copy.deepcopy(fp32_model(model))
    name = re.sub(r"[^a-z0-9]+", "-", type(module).__name__.lower()).strip("-") or "module"
    return Model(
        f"my-{name}" if name in set(MODELS) else name,
        build=lambda: copy.deepcopy(module),
        weights={name: tensor.clone() for name, tensor in module.state_dict().items()},
    )


def _as_task(task: object) -> GivenTask | str:
    if isinstance(task, GivenTask | str):
        return task
    if not isinstance(task, Task):
        raise SettingError(
            f"task is a {type(task).__name__}; give what gnn.node_task, gnn.graph_task or gnn.link_task made, or the "
            "name of a registered task"
        )
    return GivenTask(task.name.removeprefix(PLANTED_PREFIX), lambda seed: task)  # noqa: ARG005


def _source(task: str, cache: Path) -> DataSource:
    if TASKS[task].dataset is None:
        return DataSource(GIVEN)
    root = os.environ.get("GNN_DATA_ROOT")
    source = locate_task(task, DataSearch("real", Path.cwd(), cache, Path(root) if root else None))
    if source.kind == MISSING:
        raise DatasetError(source.reason)
    return source


def _written(part: object, name: str) -> str:
    return repr(part) if isinstance(part, str) else name
