"""The budget grows while the last epoch is the best, and each loss of an epoch is one step."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import gnn.training
from gnn.errors import DivergenceError
from gnn.models import GraphModel
from gnn.tasks import NodeClassification
from gnn.training import Fitted, Validation, fit
from gnn.training_settings import TrainingSettings

LEARNING_RATE = 0.01
SETTINGS = TrainingSettings(LEARNING_RATE, weight_decay=0.0, epochs=4, patience=3)


class Slope(GraphModel):
    """One weight whose losses are all of slope 1, so that every step of Adam is as long as the learning rate."""

    def __init__(self, factors: tuple[float, ...] = (1.0,)) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, dtype=torch.float64))
        self.factors = factors
        self.seen: list[float] = []
        self.batch_sizes: list[int | None] = []
        self.draws: list[float] = []

    def prepare(self, task: NodeClassification) -> str:  # noqa: ARG002
        return "what was prepared"

    def losses(self, task: Any, inputs: Any, batch_size: int | None) -> Iterator[Tensor]:  # noqa: ANN401, ARG002
        assert inputs == "what was prepared"
        assert self.training
        self.batch_sizes.append(batch_size)
        for factor in self.factors:
            self.seen.append(self.weight.item())
            self.draws.append(torch.rand(1).item())
            yield (self.weight * factor).sum()


FitScript = Callable[..., Fitted]


@pytest.fixture
def fit_script(monkeypatch: pytest.MonkeyPatch, small_task: NodeClassification) -> FitScript:
    """A function that fits a model whose validations are given: scores, and losses that are all alike by default."""

    def run(
        model: GraphModel, settings: TrainingSettings, scores: list[float], losses: list[float] | None = None
    ) -> Fitted:
        script = iter(zip(scores, losses or [1.0] * len(scores), strict=True))
        monkeypatch.setattr(gnn.training, "validate", lambda *_: Validation(*next(script)))
        return fit(model, small_task, settings, seed=0)

    return run


def rising(count: int) -> list[float]:
    return [0.01 * (epoch + 1) for epoch in range(count)]


@pytest.mark.parametrize(
    ("settings", "scores", "best_epoch", "epochs"),
    [
        ({"epochs": 2, "most_epochs": 100}, [0.1, 0.2, 0.3, 0.2], 3, 4),
        ({"epochs": 2, "most_epochs": 100}, [*rising(4), *[0.0] * 3], 4, 7),
        ({"epochs": 2, "most_epochs": 100}, [*rising(9), *[0.0] * 3], 9, 12),
        ({"epochs": 3, "most_epochs": 6, "patience": 9}, [0.1, 0.9, 0.1], 2, 3),
        ({"epochs": 20, "most_epochs": 50, "patience": 9}, [*rising(19), *[0.0] * 9], 19, 28),
        ({"epochs": 20, "most_epochs": 50, "patience": 9}, [*rising(18), 0.0, 0.0], 18, 20),
    ],
)
def test_the_budget_doubles_while_the_best_epoch_is_in_its_last_tenth(
    fit_script: FitScript, settings: dict[str, int], scores: list[float], best_epoch: int, epochs: int
) -> None:
    fitted = fit_script(Slope(), replace(SETTINGS, **settings), scores)
    assert (fitted.best_epoch, fitted.epochs) == (best_epoch, epochs)
    assert not fitted.truncated


@pytest.mark.parametrize(("epochs", "most_epochs", "run"), [(2, 7, 7), (2, 4, 4), (3, 3, 3), (3, None, 3), (1, 5, 5)])
def test_the_budget_ends_at_the_most_epochs_and_the_training_says_that_it_was_cut_short(
    fit_script: FitScript, epochs: int, most_epochs: int | None, run: int
) -> None:
    settings = replace(SETTINGS, epochs=epochs, most_epochs=most_epochs)
    fitted = fit_script(Slope(), settings, rising(run))
    assert (fitted.best_epoch, fitted.epochs, fitted.truncated) == (run, run, True)


def test_a_training_whose_best_epoch_is_in_the_last_tenth_of_what_was_allowed_was_cut_short(
    fit_script: FitScript,
) -> None:
    fitted = fit_script(Slope(), replace(SETTINGS, epochs=20, patience=9), [*rising(19), 0.0])
    assert (fitted.best_epoch, fitted.epochs, fitted.truncated) == (19, 20, True)


def test_a_training_that_its_patience_ended_was_not_cut_short(fit_script: FitScript) -> None:
    fitted = fit_script(Slope(), replace(SETTINGS, epochs=12, patience=1), [*rising(11), 0.0])
    assert (fitted.best_epoch, fitted.epochs, fitted.truncated) == (11, 12, False)


def test_patience_ends_a_budget_that_grew(fit_script: FitScript) -> None:
    settings = replace(SETTINGS, epochs=2, most_epochs=64, patience=3)
    fitted = fit_script(Slope(), settings, [*rising(8), 0.0, 0.0, 0.0])
    assert (fitted.best_epoch, fitted.epochs) == (8, 11)


@pytest.mark.parametrize(("select_by", "best_epoch"), [("score", 2), ("loss", 4)])
def test_the_epoch_is_chosen_by_score_or_by_loss(fit_script: FitScript, select_by: Any, best_epoch: int) -> None:  # noqa: ANN401
    model = Slope()
    settings = replace(SETTINGS, epochs=5, select_by=select_by)
    fitted = fit_script(model, settings, [0.5, 0.9, 0.6, 0.7, 0.8], [2.0, 3.0, 1.0, 1.0, 1.5])
    assert fitted.best_epoch == best_epoch
    assert model.weight.item() == pytest.approx(-LEARNING_RATE * best_epoch)


@pytest.mark.parametrize(
    ("one", "other", "better"),
    [
        (Validation(0.1, 1.0), None, True),
        (Validation(0.1, 1.0), Validation(0.9, 2.0), True),
        (Validation(0.9, 2.0), Validation(0.1, 1.0), False),
        (Validation(0.6, 1.0), Validation(0.5, 1.0), True),
        (Validation(0.5, 1.0), Validation(0.5, 1.0), False),
        (Validation(0.4, 1.0), Validation(0.5, 1.0), False),
    ],
)
def test_by_loss_the_loss_decides_before_the_score(one: Validation, other: Validation | None, better: bool) -> None:
    assert one.better_than(other, "loss") is better


def test_each_step_of_each_epoch_is_as_long_as_the_learning_rate(fit_script: FitScript) -> None:
    model = Slope((1.0, 1.0))
    fit_script(model, replace(SETTINGS, epochs=5, patience=5), rising(5))
    steps = -torch.tensor([*model.seen, model.weight.item()], dtype=torch.float64).diff() / LEARNING_RATE
    assert steps.tolist() == pytest.approx([1] * 10, rel=1e-3)


def test_every_loss_of_an_epoch_is_a_step_before_the_next_loss(
    small_task: NodeClassification, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gnn.training, "validate", lambda *_: Validation(0.5, 1.0))
    model, steps = Slope((1.0, 1.0, 1.0)), []
    settings = replace(SETTINGS, epochs=2)
    fit(model, small_task, settings, seed=0, after_step=lambda: steps.append(model.weight.item()))
    assert model.seen == [0.0, *steps[:-1]]
    assert steps == pytest.approx([-LEARNING_RATE * step for step in range(1, 7)], rel=1e-3)


@pytest.mark.parametrize("batch_size", [None, 32])
def test_the_batch_size_reaches_the_model(fit_script: FitScript, batch_size: int | None) -> None:
    model = Slope()
    fit_script(model, replace(SETTINGS, epochs=2, batch_size=batch_size), rising(2))
    assert model.batch_sizes == [batch_size] * 2


def test_what_a_model_draws_is_new_in_every_epoch_and_that_of_the_seed(fit_script: FitScript) -> None:
    models = [Slope(), Slope()]
    for model in models:
        torch.manual_seed(len(model.draws) + 17)
        fit_script(model, SETTINGS, rising(4))
    assert len(set(models[0].draws)) == 4
    assert models[0].draws == models[1].draws


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_no_step_is_taken_with_a_loss_that_is_not_finite(small_task: NodeClassification, bad: float) -> None:
    model, steps = Slope((1.0, bad, 1.0)), []
    with torch.no_grad():
        model.weight.fill_(1.0)
    with pytest.raises(DivergenceError) as caught:
        fit(model, small_task, SETTINGS, seed=6, after_step=lambda: steps.append(model.weight.item()))
    assert str(caught.value) == (
        f"the training loss of Slope on planted-small is {bad} in epoch 1 with seed 6; lower the learning rate (0.01)"
    )
    assert [model.weight.item()] == steps == pytest.approx([1 - LEARNING_RATE])


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_validation_that_is_not_finite_is_never_chosen(fit_script: FitScript, loss: float) -> None:
    with pytest.raises(DivergenceError, match=rf"^the validation loss of Slope on planted-small is {loss} in epoch 2 "):
        fit_script(Slope(), SETTINGS, [0.5, 0.9], [1.0, loss])
