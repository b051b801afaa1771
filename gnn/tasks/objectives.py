"""What a model is trained for and judged by: the targets, the loss and the score of a task."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from gnn.errors import DatasetError, SettingError
from gnn.tasks.metrics import RANKED, in_shape_of, mean_over_columns, one_column, rows, scikit_learn, single_value

# Metrics that are lower for the better model; as a score they are negated, because everywhere a higher one is better.
ERRORS = ("mae", "rmse")


@dataclass(frozen=True)
class Objective(ABC):
    """A loss, and a metric by its name in scikit-learn; raises `SettingError` for a metric that does not fit.

    Equal objectives have equal fields. Outputs and targets have one row per example; which shapes, the classes say.
    """

    kind: ClassVar[str]
    metrics: ClassVar[tuple[str, ...]]
    further_metrics: ClassVar[tuple[str, ...]]
    metric: str

    def __post_init__(self) -> None:
        if self.metric not in self.metrics:
            valid = ", ".join(self.metrics)
            raise SettingError(f"unknown metric {self.metric!r} for {self.kind}; valid are: {valid}")

    @property
    def score_name(self) -> str:
        """The name of the score: that of the metric, or negative_<metric> where a lower one is better."""
        return f"negative_{self.metric}" if self.metric in ERRORS else self.metric

    @abstractmethod
    def targets(self, labels: Tensor) -> Tensor:
        """The targets in the type and shape of this objective; raises `DatasetError` when labels cannot be that."""

    @abstractmethod
    def outputs(self, targets: Tensor) -> int:
        """How many numbers a model has to give for each example."""

    @abstractmethod
    def refused(self, targets: Tensor) -> tuple[Tensor, str]:
        """Which examples have targets that nothing can be learned from, [examples] bool, and what is expected."""

    @abstractmethod
    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean loss of the examples."""

    @abstractmethod
    def measure(self, metric: str, outputs: Tensor, targets: Tensor) -> float:
        """The value of a metric that is defined for the targets."""

    def undefined(self, metric: str, targets: Tensor) -> str | None:
        """Why a metric has no value on these targets, or None; ranks say nothing about a single class."""
        return single_value(targets) if metric in RANKED else None

    def score(self, outputs: Tensor, targets: Tensor) -> float:
        """The metric, negated where a lower one is better; raises `DatasetError` where it is undefined."""
        if reason := self.undefined(self.metric, targets):
            raise DatasetError(f"{self.metric} is undefined: {reason}; choose another metric or another split")
        value = self.measure(self.metric, outputs, targets)
        return -value if self.metric in ERRORS else value

    def other_scores(self, outputs: Tensor, targets: Tensor) -> dict[str, float]:
        """The further metrics that are defined for the targets, as they are in the literature."""
        return {
            metric: self.measure(metric, outputs, targets)
            for metric in self.further_metrics
            if metric != self.score_name and self.undefined(metric, targets) is None
        }


@dataclass(frozen=True)
class MultiClass(Objective):
    """One of several classes: softmax and cross-entropy; the score is the accuracy unless another metric is named.

    F1 is the mean over classes; ROC-AUC and average precision are of one class against the rest, the mean over the
    classes that occur, and of class 1 where there are two. `classes` is the number of classes, or None for one more
    than the largest label. Shapes: outputs [examples, classes]; targets [examples] int64.
    """

    kind: ClassVar[str] = "multi-class"
    metrics: ClassVar[tuple[str, ...]] = ("accuracy", "f1", "roc_auc", "average_precision")
    further_metrics: ClassVar[tuple[str, ...]] = ("accuracy",)
    metric: str = "accuracy"
    classes: int | None = None

    def targets(self, labels: Tensor) -> Tensor:
        """Whole numbers, one per example; NaN becomes -1, which no part may hold."""
        labels = one_column(labels, self.kind)
        if labels.is_floating_point():
            whole = labels.nan_to_num(-1.0)
            if bool((whole != whole.round()).any()):
                value = float(whole[whole != whole.round()][0])
                raise DatasetError(
                    f"a label is {value:g}, expected whole numbers for multi-class; choose objective='regression', or "
                    "number the classes from 0 on"
                )
            labels = whole
        return labels.long()

    def outputs(self, targets: Tensor) -> int:
        """As many logits as classes."""
        return self.classes or max(int(targets.max()) + 1, 1)

    def refused(self, targets: Tensor) -> tuple[Tensor, str]:
        """Labels that are no class."""
        classes = self.outputs(targets)
        return (targets < 0) | (targets >= classes), f"a class from 0 to {classes - 1}"

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean cross-entropy."""
        return functional.cross_entropy(outputs, targets)

    def measure(self, metric: str, outputs: Tensor, targets: Tensor) -> float:
        """A metric of the class with the highest logit, or of the probabilities."""
        if metric == "accuracy":
            return float((outputs.argmax(1) == targets).double().mean())
        if metric == "f1":
            return scikit_learn("f1_score", targets, outputs.argmax(1), average="macro", zero_division=0)
        probability, truth = outputs.double().softmax(1), functional.one_hot(targets, outputs.shape[1])
        first = 1 if outputs.shape[1] == 2 else 0
        return mean_over_columns(metric, probability[:, first:], truth[:, first:].double())


@dataclass(frozen=True)
class Binary(Objective):
    """Yes or no: one logit and binary cross-entropy; the score is the accuracy unless another metric is named.

    F1 is the mean over both answers; a logit of 0 or more is a yes. Shapes: outputs [examples] or [examples, 1];
    targets [examples] float32, 0 or 1.
    """

    kind: ClassVar[str] = "binary"
    metrics: ClassVar[tuple[str, ...]] = ("accuracy", "f1", "roc_auc", "average_precision")
    further_metrics: ClassVar[tuple[str, ...]] = ("accuracy", "roc_auc", "average_precision")
    metric: str = "accuracy"

    def targets(self, labels: Tensor) -> Tensor:
        """One number per example."""
        return one_column(labels, self.kind).float()

    def outputs(self, targets: Tensor) -> int:  # noqa: ARG002
        """One logit."""
        return 1

    def refused(self, targets: Tensor) -> tuple[Tensor, str]:
        """Labels other than 0 and 1."""
        return (targets != 0) & (targets != 1), "0 or 1"

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean binary cross-entropy."""
        return functional.binary_cross_entropy_with_logits(in_shape_of(targets, outputs), targets)

    def measure(self, metric: str, outputs: Tensor, targets: Tensor) -> float:
        """A metric of the answers, or of the logits."""
        outputs = in_shape_of(targets, outputs)
        if metric in RANKED:
            return scikit_learn(f"{metric}_score", targets, outputs)
        answers = (outputs >= 0).to(targets.dtype)
        if metric == "f1":
            return scikit_learn("f1_score", targets, answers, average="macro", zero_division=0)
        return float((answers == targets).double().mean())


@dataclass(frozen=True)
class MultiLabel(Objective):
    """Several answers at once: a logit and binary cross-entropy for each; NaN is an answer that is not known.

    Every metric but accuracy, which is the share of all known answers, is the mean over the labels on whose known
    answers it is defined. The score is ROC-AUC unless another metric is named. Source: Wu et al., MoleculeNet (arXiv
    1703.00564), whose labels have gaps; OGB's evaluator takes the same mean. Shapes: outputs [examples, labels];
    targets [examples, labels] float32, 0, 1 or NaN.
    """

    kind: ClassVar[str] = "multi-label"
    metrics: ClassVar[tuple[str, ...]] = ("roc_auc", "average_precision", "accuracy", "f1")
    further_metrics: ClassVar[tuple[str, ...]] = ("roc_auc", "average_precision")
    metric: str = "roc_auc"

    def targets(self, labels: Tensor) -> Tensor:
        """One row per example."""
        return rows(labels, self.kind).float()

    def outputs(self, targets: Tensor) -> int:
        """One logit per label."""
        return targets.shape[1]

    def refused(self, targets: Tensor) -> tuple[Tensor, str]:
        """Labels other than 0, 1 and NaN."""
        return ~((targets == 0) | (targets == 1) | targets.isnan()).all(1), "0, 1 or NaN in every column"

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean binary cross-entropy of the answers that are known; 0 without any."""
        known = ~targets.isnan()
        answers = torch.where(known, targets, 0.0)
        each = functional.binary_cross_entropy_with_logits(in_shape_of(targets, outputs), answers, reduction="none")
        return torch.where(known, each, 0.0).sum() / known.sum().clamp(min=1)

    def undefined(self, metric: str, targets: Tensor) -> str | None:
        """There must be a known answer, and for ranks a label with both answers."""
        known = [column[~column.isnan()] for column in targets.T]
        if not any(map(len, known)):
            return "every label is NaN"
        if metric in RANKED and all(len(column) == 0 or single_value(column) for column in known):
            return "no label has both answers"
        return None

    def measure(self, metric: str, outputs: Tensor, targets: Tensor) -> float:
        """A metric of the answers or of the logits, without what is not known."""
        outputs = in_shape_of(targets, outputs)
        if metric != "accuracy":
            return mean_over_columns(metric, outputs, targets)
        known = ~targets.isnan()
        return float(((outputs >= 0).to(targets.dtype) == targets)[known].double().mean())


@dataclass(frozen=True)
class Regression(Objective):
    """One or more real numbers: the mean squared error; the score is R2 unless another metric is named.

    R2 has no unit, so that an allowed drop of 0.01 means as much on one dataset as on another, and higher is better;
    mae and rmse have the unit of the targets, and as scores they are negative. Of several targets all are means over
    the targets. Shapes: outputs [examples, targets], or [examples] for one; targets float32, [examples] or [examples,
    targets].
    """

    kind: ClassVar[str] = "regression"
    metrics: ClassVar[tuple[str, ...]] = ("r2", "mae", "rmse")
    further_metrics: ClassVar[tuple[str, ...]] = ("r2", "mae", "rmse")
    metric: str = "r2"

    def targets(self, labels: Tensor) -> Tensor:
        """The numbers as they are."""
        return (labels if labels.dim() == 1 else rows(labels, self.kind)).float()

    def outputs(self, targets: Tensor) -> int:
        """One number per target."""
        return targets[:1].numel()

    def refused(self, targets: Tensor) -> tuple[Tensor, str]:
        """Targets that are no finite number."""
        return ~targets.isfinite().reshape(len(targets), -1).all(1), "finite numbers"

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Mean squared error."""
        return functional.mse_loss(in_shape_of(targets, outputs), targets)

    def undefined(self, metric: str, targets: Tensor) -> str | None:
        """R2 compares with the mean, which a single example is itself."""
        return "there is a single example" if metric == "r2" and len(targets) < 2 else None

    def measure(self, metric: str, outputs: Tensor, targets: Tensor) -> float:
        """The mean over the targets of an error, or of R2."""
        functions = {"r2": "r2_score", "mae": "mean_absolute_error", "rmse": "root_mean_squared_error"}
        return scikit_learn(functions[metric], targets.double(), in_shape_of(targets, outputs).double())


OBJECTIVES: dict[str, Callable[[], Objective]] = {
    each.kind: each for each in (MultiClass, Binary, MultiLabel, Regression)
}


def objective_for(labels: Tensor, objective: "str | Objective | None", metric: str | None) -> Objective:
    """The objective of that name or, for None, of what the labels look like, with its usual metric or the named one.

    Whole numbers, one per example, are classes; several, or rows of 0, 1 and NaN, are multi-label; other floats are
    regression. Raises `SettingError` for a name that does not exist.
    """
    if objective is None:
        objective = _inferred(labels)
    elif isinstance(objective, str):
        if objective not in OBJECTIVES:
            raise SettingError(f"unknown objective {objective!r}; valid are: {', '.join(OBJECTIVES)}")
        objective = OBJECTIVES[objective]()
    elif not isinstance(objective, Objective):
        raise SettingError(f"objective is {objective!r}, expected a name; valid are: {', '.join(OBJECTIVES)}")
    return objective if metric is None else replace(objective, metric=metric)


def _inferred(labels: Tensor) -> Objective:
    if not labels.is_floating_point():
        return MultiClass() if labels[:1].numel() == 1 else MultiLabel()
    answers = labels.dim() == 2 and bool(((labels == 0) | (labels == 1) | labels.isnan()).all())
    return MultiLabel() if answers else Regression()
