"""The tasks that are registered, and how one is found and loaded."""

from collections.abc import Callable
from dataclasses import dataclass

from gnn.artifacts import ArtifactStore
from gnn.errors import SettingError
from gnn.registry import Registry
from gnn.tasks.data_source import DataSearch, DataSource, RawDataset, locate
from gnn.tasks.node_classification import NodeClassification

PLANTED_PREFIX = "planted-"
PROTOCOLS = ("clean", "paper")

TaskLoader = Callable[[str, DataSource, str, ArtifactStore], NodeClassification]


@dataclass(frozen=True)
class RegisteredTask:
    """A loader and the raw dataset that it reads."""

    load: TaskLoader
    dataset: RawDataset


TASKS: Registry[RegisteredTask] = Registry("task")


def register_task(name: str, dataset: RawDataset) -> Callable[[TaskLoader], TaskLoader]:
    """Decorate the loader of a task to register it."""

    def decorate(load: TaskLoader) -> TaskLoader:
        TASKS.add(name, RegisteredTask(load, dataset))
        return load

    return decorate


def locate_task(name: str, search: DataSearch) -> DataSource:
    """Where the data of the task `name` is (see `gnn.tasks.data_source.locate`)."""
    return locate(TASKS[name].dataset, search)


def task_name(name: str, source: DataSource) -> str:
    """The name the task has on that data: planted data is never called by the real name."""
    return PLANTED_PREFIX + name if source.kind == "planted" else name


def load_task(name: str, source: DataSource, store: ArtifactStore, protocol: str = "clean") -> NodeClassification:
    """Load the task `name` (its registered name, without the planted prefix) from `source`.

    Raises `UnknownNameError` for a task and `SettingError` for a protocol that does not exist.
    """
    if protocol not in PROTOCOLS:
        raise SettingError(f"unknown protocol {protocol!r}; valid are: {', '.join(PROTOCOLS)}")
    return TASKS[name].load(task_name(name, source), source, protocol, store)
