"""The tasks that are registered, and how one is found and loaded."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from gnn.artifacts import ArtifactStore
from gnn.errors import DatasetError, SettingError
from gnn.registry import Registry
from gnn.tasks.data_source import DataSearch, DataSource, RawDataset, locate
from gnn.tasks.task import Task

PLANTED_PREFIX = "planted-"
# The kind of a source whose data the task brings along.
GIVEN = "given"
# The kind of a source that was looked for in vain; its reason says where.
MISSING = "missing"
PROTOCOLS = ("clean", "paper")


@dataclass(frozen=True)
class TaskRequest:
    """Which task is loaded: its name (with the planted prefix where that is due), data, protocol, store and seed.

    The seed draws the split where a protocol has a new one per seed.
    """

    name: str
    source: DataSource
    protocol: str
    store: ArtifactStore
    seed: int


TaskLoader = Callable[[TaskRequest], Task]


@dataclass(frozen=True)
class RegisteredTask:
    """A loader and the raw dataset that it reads."""

    load: TaskLoader
    dataset: RawDataset


class TaskEntry(Protocol):
    """What a registered name stands for: a loader, and the raw dataset that it reads, None where it needs none."""

    @property
    def dataset(self) -> RawDataset | None:
        """The raw files that the task is made from."""
        ...

    @property
    def load(self) -> TaskLoader:
        """Make the task that is requested."""
        ...


TASKS: Registry[TaskEntry] = Registry("task")


def register_task(name: str, dataset: RawDataset) -> Callable[[TaskLoader], TaskLoader]:
    """Decorate the loader of a task to register it."""

    def decorate(load: TaskLoader) -> TaskLoader:
        TASKS.add(name, RegisteredTask(load, dataset))
        return load

    return decorate


def locate_task(name: str, search: DataSearch) -> DataSource:
    """Where the data of the task `name` is (see `gnn.tasks.data_source.locate`), or why it is missing."""
    if (dataset := TASKS[name].dataset) is None:
        return DataSource(GIVEN)
    try:
        return locate(dataset, search)
    except DatasetError as error:
        return DataSource(MISSING, reason=str(error))


def task_name(name: str, source: DataSource) -> str:
    """The name the task has on that data: planted data is never called by the real name."""
    return PLANTED_PREFIX + name if source.kind == "planted" else name


def load_task(name: str, source: DataSource, store: ArtifactStore, protocol: str = "clean", seed: int = 0) -> Task:
    """Load the task `name` (its registered name, without the planted prefix) from `source`, split by `seed`.

    Raises `UnknownNameError` for a task and `SettingError` for a protocol that does not exist, and `DatasetError` with
    the reason of a source whose data is missing.
    """
    if source.kind == MISSING:
        raise DatasetError(source.reason)
    if protocol not in PROTOCOLS:
        raise SettingError(f"unknown protocol {protocol!r}; valid are: {', '.join(PROTOCOLS)}")
    return TASKS[name].load(TaskRequest(task_name(name, source), source, protocol, store, seed))
