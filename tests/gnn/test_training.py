"""Training repeats to the bit, stops in time, keeps the best epoch and never looks at the test part."""

import hashlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import gnn.training
from gnn.errors import DivergenceError, SettingError
from gnn.models import GraphModel, build_model_for
from gnn.tasks import Graph, NodeClassification
from gnn.training import Validation, evaluate, fit
from gnn.training_settings import TrainingSettings

NewModel = Callable[[int], GraphModel]

SHORT = TrainingSettings(learning_rate=0.01, weight_decay=5e-3, epochs=12, patience=12)
FIT_IN_ANOTHER_PROCESS = """
from tests.gnn.conftest import build_small_model, build_small_task
from tests.gnn.test_training import SHORT, state_sha256
from gnn.training import fit
task = build_small_task()
model = build_small_model(task, 3)
fit(model, task, SHORT, 3)
print(state_sha256(model))
"""


def state_sha256(model: GraphModel) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode() + tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def fitted_sha256(model: GraphModel, task: NodeClassification, seed: int) -> str:
    fit(model, task, SHORT, seed)
    return state_sha256(model)


def scramble(task: NodeClassification, index: Tensor) -> NodeClassification:
    """The task with other labels on some nodes."""
    labels = task.graph.labels.clone()
    labels[index] = (labels[index] + 1) % task.classes
    return replace(task, graph=Graph(task.graph.features, task.graph.edge_index, labels))


@pytest.fixture
def validations(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Validation, str]]:
    """What every epoch's validation said, with the fingerprint of the weights it saw."""
    seen: list[tuple[Validation, str]] = []
    real = gnn.training.validate

    def record(model: GraphModel, task: NodeClassification, inputs: object) -> Validation:
        validation = real(model, task, inputs)
        seen.append((validation, state_sha256(model)))
        return validation

    monkeypatch.setattr(gnn.training, "validate", record)
    return seen


def invent_validations(monkeypatch: pytest.MonkeyPatch, scores: list[float], losses: list[float]) -> list[str]:
    """Let validation say these things, epoch by epoch; returns the list that receives the weights' fingerprints."""
    script: Iterator[tuple[float, float]] = iter(zip(scores, losses, strict=True))
    weights: list[str] = []

    def say(model: GraphModel, task: NodeClassification, inputs: object) -> Validation:  # noqa: ARG001
        weights.append(state_sha256(model))
        return Validation(*next(script))

    monkeypatch.setattr(gnn.training, "validate", say)
    return weights


def test_a_seed_gives_bit_identical_weights_and_another_seed_others(
    new_model: NewModel, small_task: NodeClassification
) -> None:
    first = fitted_sha256(new_model(3), small_task, 3)
    assert fitted_sha256(new_model(3), small_task, 3) == first
    assert fitted_sha256(new_model(3), small_task, 4) != first
    assert fitted_sha256(new_model(4), small_task, 4) != first


def test_another_process_gives_the_same_bits(new_model: NewModel, small_task: NodeClassification) -> None:
    command = [sys.executable, "-c", FIT_IN_ANOTHER_PROCESS]
    result = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == fitted_sha256(new_model(3), small_task, 3)


def test_the_random_state_of_the_caller_neither_matters_nor_changes(
    new_model: NewModel, small_task: NodeClassification
) -> None:
    hashes = []
    for caller_seed in (1, 2):
        torch.manual_seed(caller_seed)
        before = torch.get_rng_state()
        hashes.append(fitted_sha256(new_model(3), small_task, 3))
        evaluate(new_model(3), small_task)
        assert torch.equal(torch.get_rng_state(), before)
    assert hashes[0] == hashes[1]


def test_the_weights_of_the_best_validation_are_left(
    new_model: NewModel, small_task: NodeClassification, validations: list[tuple[Validation, str]]
) -> None:
    model = new_model(0)
    fitted = fit(model, small_task, TrainingSettings(0.05, 0.0, epochs=40, patience=40), 0)
    assert fitted.epochs == len(validations) == 40
    best = max(range(40), key=lambda epoch: (validations[epoch][0].score, -validations[epoch][0].loss))
    assert fitted.best_epoch == best + 1
    assert fitted.best_epoch < 40  # otherwise the last weights would do
    assert fitted.validation == validations[best][0]
    assert state_sha256(model) == validations[best][1] != validations[-1][1]
    assert not model.training


@pytest.mark.parametrize(
    ("scores", "losses", "best_epoch"),
    [
        ([0.5, 0.4, 0.4, 0.4], [1, 1, 1, 1], 1),
        ([0.5, 0.4, 0.4, 0.6, 0.1, 0.1, 0.1], [1] * 7, 4),
        ([0.5, 0.5, 0.5, 0.5, 0.5], [3, 2, 2, 2, 2], 2),
        ([0.5, 0.6, 0.5, 0.5, 0.5], [1, 9, 1, 1, 1], 2),
    ],
)
def test_training_stops_three_epochs_after_the_best(
    monkeypatch: pytest.MonkeyPatch,
    small_task: NodeClassification,
    scores: list[float],
    losses: list[float],
    best_epoch: int,
) -> None:
    weights = invent_validations(monkeypatch, scores, losses)
    model = build_model_for("spline", small_task)
    fitted = fit(model, small_task, replace(SHORT, patience=3), 0)
    assert (fitted.best_epoch, fitted.epochs) == (best_epoch, best_epoch + 3)
    assert not fitted.truncated
    assert fitted.validation == Validation(scores[best_epoch - 1], losses[best_epoch - 1])
    assert state_sha256(model) == weights[best_epoch - 1]


@pytest.mark.parametrize(
    ("one", "other", "better"),
    [
        (Validation(0.5, 1.0), None, True),
        (Validation(0.6, 2.0), Validation(0.5, 1.0), True),
        (Validation(0.5, 0.9), Validation(0.5, 1.0), True),
        (Validation(0.5, 1.0), Validation(0.5, 1.0), False),
        (Validation(0.5, 1.1), Validation(0.5, 1.0), False),
        (Validation(0.4, 0.1), Validation(0.5, 1.0), False),
    ],
)
def test_the_score_decides_before_the_loss(one: Validation, other: Validation | None, better: bool) -> None:
    assert one.better_than(other) is better


def test_after_step_runs_after_every_step_and_before_its_validation(
    new_model: NewModel, small_task: NodeClassification, validations: list[tuple[Validation, str]]
) -> None:
    model = new_model(0)
    stepped: list[str] = []

    def after_step() -> None:
        with torch.no_grad():
            next(model.parameters()).flatten()[0].fill_(float(len(stepped)))
        stepped.append(state_sha256(model))

    fit(model, small_task, SHORT, 0, after_step=after_step)
    assert stepped == [weights for _, weights in validations]
    assert len(set(stepped)) == SHORT.epochs


def test_weight_decay_and_learning_rate_are_used(new_model: NewModel, small_task: NodeClassification) -> None:
    def norm(settings: TrainingSettings) -> float:
        model = new_model(0)
        fit(model, small_task, settings, 0)
        return sum(parameter.double().square().sum().item() for parameter in model.parameters())

    plain = norm(replace(SHORT, weight_decay=0.0))
    assert norm(replace(SHORT, weight_decay=1.0)) < plain
    assert norm(replace(SHORT, weight_decay=0.0, learning_rate=0.1)) > plain


def test_a_loss_that_is_no_number_names_model_task_epoch_and_seed(
    new_model: NewModel, small_task: NodeClassification
) -> None:
    features = small_task.graph.features
    value = features.value.clone()
    value[0] = float("nan")
    graph = replace(small_task.graph, features=features.with_value(value))
    with pytest.raises(DivergenceError) as caught:
        fit(new_model(5), replace(small_task, graph=graph), SHORT, 5)
    assert str(caught.value) == (
        "the training loss of SplineNet on planted-small is nan in epoch 1 with seed 5; lower the learning rate (0.01)"
    )


@pytest.mark.parametrize("epochs", [1, 2, 5])
def test_too_high_a_learning_rate_is_an_error_in_its_last_epoch_too(
    new_model: NewModel, small_task: NodeClassification, epochs: int
) -> None:
    with pytest.raises(DivergenceError, match=r"SplineNet on planted-small .* with seed 0; lower the learning rate"):
        fit(new_model(0), small_task, TrainingSettings(1e38, 0.0, epochs=epochs, patience=9), 0)


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 0},
        {"epochs": -1},
        {"patience": 0},
        {"learning_rate": 0.0},
        {"learning_rate": -0.1},
        {"learning_rate": float("nan")},
        {"learning_rate": float("inf")},
        {"weight_decay": -1e-9},
        {"weight_decay": float("nan")},
        {"weight_decay": float("inf")},
        {"batch_size": 0},
        {"batch_size": -1},
        {"most_epochs": 11},
        {"most_epochs": 0},
        {"select_by": "accuracy"},
    ],
)
def test_settings_out_of_range_are_refused(change: dict[str, Any]) -> None:
    (name, value) = next(iter(change.items()))
    with pytest.raises(SettingError, match=rf"{name} {value!r}(?!\w)"):
        replace(SHORT, **change)


def test_the_smallest_settings_are_accepted(new_model: NewModel, small_task: NodeClassification) -> None:
    fitted = fit(new_model(0), small_task, TrainingSettings(1e-9, 0.0, epochs=1, patience=1), 0)
    assert (fitted.best_epoch, fitted.epochs) == (1, 1)
    assert fitted.cpu_s > 0


def test_test_labels_are_never_used(new_model: NewModel, small_task: NodeClassification) -> None:
    honest = fitted_sha256(new_model(0), small_task, 0)
    split = small_task.split
    assert fitted_sha256(new_model(0), scramble(small_task, split.test), 0) == honest
    assert fitted_sha256(new_model(0), scramble(small_task, split.train), 0) != honest


def test_validation_labels_choose_the_epoch_only(
    new_model: NewModel, small_task: NodeClassification, validations: list[tuple[Validation, str]]
) -> None:
    fit(new_model(0), small_task, SHORT, 0)
    fit(new_model(0), scramble(small_task, small_task.split.validation), SHORT, 0)
    first, second = validations[: SHORT.epochs], validations[SHORT.epochs :]
    assert [weights for _, weights in first] == [weights for _, weights in second]
    assert [validation for validation, _ in first] != [validation for validation, _ in second]


def test_evaluation_is_the_share_of_right_test_nodes(new_model: NewModel, small_task: NodeClassification) -> None:
    model = new_model(0).eval()
    test = small_task.split.test
    right = model(model.prepare(small_task)).argmax(1)[test] == small_task.graph.labels[test]
    evaluation = evaluate(model.train(), small_task)
    assert (evaluation.score, evaluation.others) == (right.double().mean().item(), {})
