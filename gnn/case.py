"""One cell of the matrix: a task, a model, a compression method and its settings."""

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, TypeVar

from gnn.compression import METHODS, CompressionSettings
from gnn.errors import SettingError
from gnn.models import MODELS, Model
from gnn.registry import Registry
from gnn.storage import PRECISIONS
from gnn.tasks import PLANTED_PREFIX, TASKS, DataSource, GivenTask, task_name

PROFILES: tuple[str, ...] = ("quick", "ci", "paper")
# Where a test function has the rows that it judges.
ROWS = "gnn_rows"
Function = TypeVar("Function", bound=Callable[..., object])


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
        if self.fine_tune and not can_be_fine_tuned(self.compression):
            raise SettingError(f"{self.id} cannot be fine-tuned: {self.compression.method} leaves nothing to train on")

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


def can_be_fine_tuned(compression: CompressionSettings) -> bool:
    """Whether what the method leaves is trained on: not codes, and not what the method has trained itself."""
    return getattr(compression, "can_be_fine_tuned", True)


@dataclass(frozen=True)
class Row:
    """A case and the number of seeds each profile runs it with; a profile that is not named skips it.

    `at_least` and `at_most` are bounds on fields of its record, such as {"accuracy.mean": 0.8}, and `allowances` say
    how much worse than its snapshot a metric may be, in the metric's unit, such as {"accuracy": 0.01}.
    """

    case: Case
    seeds: Mapping[str, int]
    at_least: Mapping[str, float] = field(default_factory=dict)
    at_most: Mapping[str, float] = field(default_factory=dict)
    allowances: Mapping[str, float] = field(default_factory=dict)


def cases(
    task: GivenTask | str,
    model: Model | str,
    *methods: CompressionSettings,
    seeds: int | Mapping[str, int] = 3,
    fine_tune: bool = False,
    precision: str = "fp32",
    **rules: Mapping[str, float],
) -> Callable[[Function], Function]:
    """Make a test function one test for each method; it takes `case` and `judge`, and calls `judge(case)`.

    Args:
        task: What the model is asked, or the name of a registered task.
        model: What is compressed, or the name of a registered model.
        methods: What is done to it, such as `Structured(0.5)`.
        seeds: How many in every profile, or by profile, such as {"quick": 1, "ci": 5}.
        fine_tune: Whether the model is trained on afterwards, where the method leaves anything to train.
        precision: That of the weights in the file, a name from `gnn.storage.PRECISIONS`.
        rules: `at_least`, `at_most` and `allowances` of `Row`, for all of these cases.

    Raises:
        SettingError: Nothing is done to the model, a name is that of another task or model, or a profile, a number of
            seeds or a rule does not exist.
    """
    if not methods:
        raise SettingError("cases() got no method; give at least one, such as gnn.Structured(0.5)")
    if unknown := rules.keys() - {"at_least", "at_most", "allowances"}:
        raise SettingError(f"unknown rule {min(unknown)!r}; valid are: allowances, at_least, at_most")
    by_profile = dict(seeds) if isinstance(seeds, Mapping) else dict.fromkeys(PROFILES, seeds)
    if not set(by_profile) <= set(PROFILES) or not all(type(n) is int and n >= 1 for n in by_profile.values()):
        raise SettingError(f"seeds {seeds!r} are no number from 1 on, nor such numbers by {', '.join(PROFILES)}")
    names = _registered(TASKS, task), _registered(MODELS, model)
    asked = [Case(*names, m, fine_tune and can_be_fine_tuned(m), precision) for m in methods]
    rows = tuple(Row(case, by_profile, **rules) for case in asked)

    def decorate(function: Function) -> Function:
        vars(function)[ROWS] = (*rows, *getattr(function, ROWS, ()))
        return function

    return decorate


def _registered(registry: Registry[Any], part: Any) -> str:  # noqa: ANN401
    """The name of a task or a model, which it has from now on."""
    if isinstance(part, str):
        return part
    registry.add(part.name, part)
    return part.name
