"""One cell of the matrix: a task, a model, a compression method and its settings."""

import re
from dataclasses import asdict, dataclass, replace

from gnn.compression import METHODS, CompressionSettings
from gnn.errors import SettingError
from gnn.models import MODELS
from gnn.storage import PRECISIONS
from gnn.tasks import PLANTED_PREFIX, TASKS, DataSource, task_name


@dataclass(frozen=True)
class Case:
    """What is asked of the suite; raises `UnknownNameError` for names that are not registered.

    `precision` is that of the weights in the file, a name from `gnn.storage.PRECISIONS`.
    """

    task: str
    model: str
    compression: CompressionSettings
    fine_tune: bool = False
    precision: str = "fp32"

    def __post_init__(self) -> None:
        TASKS[self.registered_task]
        MODELS[self.model]
        METHODS[self.compression.method]
        PRECISIONS[self.precision]
        if not re.fullmatch(r"[a-z0-9.-]+", self.id):
            raise SettingError(f"case id {self.id!r} may only use the characters a-z, 0-9, '.' and '-'")

    @property
    def id(self) -> str:
        """`<task>.<model>.<method_id>`, such as cora-node.spline.global.s0.8.stored-int8.ft."""
        return f"{self.task}.{self.model}.{self.method_id}"

    @property
    def method_id(self) -> str:
        """`<method>[.<setting>...][.stored-<precision>][.ft]`: what tells the cases of a task and a model apart."""
        method = getattr(self.compression, "id_method", self.compression.method)
        parts = [method, *self.compression.id_parts()]
        if self.precision != "fp32":
            parts.append(f"stored-{self.precision}")
        return ".".join([*parts, "ft"] if self.fine_tune else parts)

    @property
    def registered_task(self) -> str:
        """The name the task is registered by, also when its data is planted."""
        return self.task.removeprefix(PLANTED_PREFIX)

    @property
    def dense(self) -> bool:
        """Whether nothing is compressed: such a case is a control."""
        return self.compression.method == "dense"

    @property
    def settings(self) -> dict[str, object]:
        """The settings of the method as JSON values."""
        of_method = asdict(self.compression)  # pyright: ignore[reportArgumentType]
        return {**of_method, "fine_tune": self.fine_tune, "precision": self.precision}

    def on(self, source: DataSource) -> "Case":
        """The same case on the data that was found, so that planted data shows in the id."""
        return replace(self, task=task_name(self.registered_task, source))
