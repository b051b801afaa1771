"""Losses are those of torch, scores those of scikit-learn, and errors are negative scores."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics
from torch import Tensor
from torch.nn import functional

from gnn.errors import DatasetError, DivergenceError, SettingError
from gnn.tasks import Binary, MultiClass, MultiLabel, Objective, Regression
from gnn.tasks.objectives import objective_for

NAN = float("nan")


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


CLASSES = torch.arange(30) % 3
ANSWERS = (drawn(1, 30) > 0).float()
LABELS = (drawn(2, 30, 4) > 0).float()
NUMBERS = drawn(3, 30, 2)
GAPS = LABELS.masked_fill(drawn(4, 30, 4) > 1, NAN)


def by_hand(function: Callable[..., Any], targets: Tensor, outputs: Tensor, **options: Any) -> float:  # noqa: ANN401
    return float(function(targets.numpy(), outputs.numpy(), **options))


def of_known(function: Callable[..., Any], outputs: Tensor) -> float:
    """The mean over the columns of GAPS of a metric of what is known there."""
    known = [~column.isnan() for column in GAPS.T]
    pairs = zip(GAPS.T, outputs.T, known, strict=True)
    return sum(by_hand(function, target[mask], output[mask]) for target, output, mask in pairs) / len(known)


THREE, TWO, ONE, FOUR, PAIR = drawn(5, 30, 3), drawn(6, 30, 2), drawn(7, 30), drawn(8, 30, 4), drawn(9, 30, 2)
SCORES: list[tuple[Objective, Tensor, Tensor, float]] = [
    (MultiClass(), THREE, CLASSES, by_hand(metrics.accuracy_score, CLASSES, THREE.argmax(1))),
    (MultiClass("f1"), THREE, CLASSES, by_hand(metrics.f1_score, CLASSES, THREE.argmax(1), average="macro")),
    (
        MultiClass("roc_auc"),
        THREE,
        CLASSES,
        by_hand(metrics.roc_auc_score, CLASSES, THREE.double().softmax(1), multi_class="ovr"),
    ),
    (
        MultiClass("average_precision"),
        THREE,
        CLASSES,
        by_hand(metrics.average_precision_score, functional.one_hot(CLASSES), THREE.double().softmax(1)),
    ),
    (MultiClass("roc_auc"), TWO, ANSWERS.long(), by_hand(metrics.roc_auc_score, ANSWERS, TWO[:, 1] - TWO[:, 0])),
    (Binary(), ONE, ANSWERS, by_hand(metrics.accuracy_score, ANSWERS, (ONE >= 0).float())),
    (Binary("f1"), ONE, ANSWERS, by_hand(metrics.f1_score, ANSWERS, (ONE >= 0).float(), average="macro")),
    (Binary("roc_auc"), ONE[:, None], ANSWERS, by_hand(metrics.roc_auc_score, ANSWERS, ONE)),
    (Binary("average_precision"), ONE, ANSWERS, by_hand(metrics.average_precision_score, ANSWERS, ONE)),
    (MultiLabel(), FOUR, LABELS, by_hand(metrics.roc_auc_score, LABELS, FOUR)),
    (MultiLabel("f1"), FOUR, LABELS, by_hand(metrics.f1_score, LABELS, (FOUR >= 0).float(), average="macro")),
    (MultiLabel(), FOUR, GAPS, of_known(metrics.roc_auc_score, FOUR)),
    (MultiLabel("average_precision"), FOUR, GAPS, of_known(metrics.average_precision_score, FOUR)),
    (MultiLabel("accuracy"), FOUR, GAPS, float(((FOUR >= 0) == GAPS)[~GAPS.isnan()].double().mean())),
    (Regression(), PAIR, NUMBERS, by_hand(metrics.r2_score, NUMBERS, PAIR)),
    (Regression("mae"), PAIR, NUMBERS, -by_hand(metrics.mean_absolute_error, NUMBERS, PAIR)),
    (Regression("rmse"), PAIR, NUMBERS, -by_hand(metrics.root_mean_squared_error, NUMBERS, PAIR)),
    (Regression("mae"), PAIR[:, :1], NUMBERS[:, 0], -float((PAIR[:, 0] - NUMBERS[:, 0]).abs().mean())),
]


@pytest.mark.parametrize(
    ("objective", "outputs", "targets", "expected"), SCORES, ids=[f"{each[0].kind}-{each[0].metric}" for each in SCORES]
)
def test_a_score_is_that_of_scikit_learn(
    objective: Objective, outputs: Tensor, targets: Tensor, expected: float
) -> None:
    assert objective.score(outputs, targets) == pytest.approx(expected, rel=1e-6)
    assert objective.outputs(targets) == outputs[:1].numel()
    others = objective.other_scores(outputs, targets)
    assert objective.score_name not in others
    for name, value in others.items():
        better = type(objective)(name).score(outputs, targets)
        assert value == (-better if name in ("mae", "rmse") else better)


def test_errors_are_negative_scores_and_are_called_so() -> None:
    assert [Regression(metric).score_name for metric in Regression.metrics] == ["r2", "negative_mae", "negative_rmse"]
    near, far = NUMBERS + 0.1, NUMBERS + 1.0
    for metric in Regression.metrics:
        assert Regression(metric).score(near, NUMBERS) > Regression(metric).score(far, NUMBERS)
    assert set(Regression("rmse").other_scores(near, NUMBERS)) == {"r2", "mae", "rmse"}


@pytest.mark.parametrize(
    ("objective", "outputs", "targets", "expected"),
    [
        (MultiClass(), THREE, CLASSES, functional.cross_entropy(THREE, CLASSES)),
        (Binary(), ONE[:, None], ANSWERS, functional.binary_cross_entropy_with_logits(ONE, ANSWERS)),
        (MultiLabel(), FOUR, LABELS, functional.binary_cross_entropy_with_logits(FOUR, LABELS)),
        (Regression(), PAIR, NUMBERS, functional.mse_loss(PAIR, NUMBERS)),
        (Regression(), PAIR[:, 0], NUMBERS[:, :1], functional.mse_loss(PAIR[:, 0], NUMBERS[:, 0])),
    ],
)
def test_a_loss_is_that_of_torch(objective: Objective, outputs: Tensor, targets: Tensor, expected: Tensor) -> None:
    assert objective.loss(outputs, targets).item() == pytest.approx(expected.item(), rel=1e-6)


def test_unknown_labels_count_neither_in_the_loss_nor_in_its_gradient() -> None:
    outputs, plain = FOUR.clone().requires_grad_(), FOUR.clone().requires_grad_()
    known = ~GAPS.isnan()
    loss = MultiLabel().loss(outputs, GAPS)
    expected = functional.binary_cross_entropy_with_logits(plain[known], GAPS[known])
    loss.backward()
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    assert outputs.grad is not None
    assert plain.grad is not None
    assert torch.allclose(outputs.grad, plain.grad)


def test_a_batch_without_any_label_teaches_nothing() -> None:
    outputs = FOUR[:1].clone().requires_grad_()
    loss = MultiLabel().loss(outputs, torch.full((1, 4), NAN))
    loss.backward()
    assert loss.item() == 0
    assert outputs.grad is not None
    assert not outputs.grad.any()


@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0, NAN]), st.floats(-5, 5)), min_size=1, max_size=12))
def test_every_part_has_a_score_or_a_reason(rows: list[tuple[float, float]]) -> None:
    targets, outputs = (torch.tensor(column)[:, None] for column in zip(*rows, strict=True))
    for metric in MultiLabel.metrics:
        objective = MultiLabel(metric)
        if objective.undefined(metric, targets) is None:
            assert math.isfinite(objective.score(outputs, targets))
        else:
            with pytest.raises(DatasetError, match=rf"^{metric} is undefined: "):
                objective.score(outputs, targets)


@pytest.mark.parametrize(
    ("objective", "targets", "reason"),
    [
        (Binary("roc_auc"), torch.ones(12), "roc_auc is undefined: all 12 labels are 1"),
        (Binary("average_precision"), torch.zeros(5), "average_precision is undefined: all 5 labels are 0"),
        (MultiClass("roc_auc"), torch.full((4,), 2), "roc_auc is undefined: all 4 labels are 2"),
        (MultiLabel(), torch.tensor([[1.0, NAN], [1.0, 0.0]]), "roc_auc is undefined: no label has both answers"),
        (MultiLabel("f1"), torch.full((2, 2), NAN), "f1 is undefined: every label is NaN"),
        (Regression(), torch.ones(1), "r2 is undefined: there is a single example"),
    ],
)
def test_a_metric_that_is_undefined_says_why(objective: Objective, targets: Tensor, reason: str) -> None:
    outputs = torch.zeros(len(targets), 3) if isinstance(objective, MultiClass) else torch.zeros_like(targets)
    with pytest.raises(DatasetError) as caught:
        objective.score(outputs, targets)
    assert str(caught.value) == f"{reason}; choose another metric or another split"
    assert objective.metric not in objective.other_scores(outputs, targets)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (torch.tensor([0, 2, 1]), MultiClass()),
        (torch.tensor([[0], [1]]), MultiClass()),
        (torch.tensor([True, False]), MultiClass()),
        (torch.tensor([[0, 1], [1, 1]]), MultiLabel()),
        (torch.tensor([[0.0, NAN], [1.0, 1.0]]), MultiLabel()),
        (torch.tensor([[0.0], [1.0]]), MultiLabel()),
        (torch.tensor([0.0, 1.0]), Regression()),
        (torch.tensor([[0.5, 1.0]]), Regression()),
    ],
)
def test_labels_tell_the_objective(labels: Tensor, expected: Objective) -> None:
    found = objective_for(labels, None, None)
    assert found == expected
    assert hash(found) == hash(expected)
    assert len(found.targets(labels)) == len(labels)


def test_a_named_metric_replaces_the_usual_one() -> None:
    assert objective_for(CLASSES, "multi-class", "f1") == MultiClass("f1")
    assert objective_for(CLASSES, MultiClass(classes=7), "f1") == MultiClass("f1", classes=7)
    assert MultiClass(classes=7).outputs(CLASSES) == 7
    assert MultiClass("f1") != MultiClass()


@pytest.mark.parametrize(
    ("objective", "metric", "message"),
    [
        ("ranking", None, "unknown objective 'ranking'; valid are: multi-class, binary, multi-label, regression"),
        (3, None, "objective is 3, expected a name; valid are: multi-class, binary, multi-label, regression"),
        (None, "rmse", "unknown metric 'rmse' for multi-class; valid are: accuracy, f1, roc_auc, average_precision"),
        ("regression", "accuracy", "unknown metric 'accuracy' for regression; valid are: r2, mae, rmse"),
    ],
)
def test_an_unknown_name_is_answered_with_the_valid_ones(
    objective: Any,  # noqa: ANN401
    metric: str | None,
    message: str,
) -> None:
    with pytest.raises(SettingError) as caught:
        objective_for(CLASSES, objective, metric)
    assert str(caught.value) == message


@pytest.mark.parametrize("outputs", [torch.zeros(30, 30), torch.zeros(1, 30), torch.zeros(15, 2)])
def test_outputs_of_another_shape_are_not_broadcast(outputs: Tensor) -> None:
    with pytest.raises(
        SettingError, match=r"^the model gives outputs of the shape .* expected \(30,\), one row per ex"
    ):
        Regression().loss(outputs, ONE)


def test_outputs_that_are_not_finite_have_no_score() -> None:
    with pytest.raises(DivergenceError, match="outputs that are not finite"):
        Binary("roc_auc").score(ONE.clone().index_fill(0, torch.tensor([3]), NAN), ANSWERS)
