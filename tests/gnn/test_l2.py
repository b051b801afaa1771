"""L2 regularization trains once for every rate, with the rate and nothing else changed."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import gnn.compression.l2
import gnn.compression.retraining
from gnn.compression import L2, METHODS, compress, prunable_parameters
from gnn.compression.weight_statistics import near_zero_share
from gnn.errors import SettingError
from gnn.models import GraphModel
from gnn.tasks import NodeClassification, Task
from gnn.training import Fitted, fit
from gnn.training_settings import TrainingSettings
from tests.gnn.toy_training import RECIPE, SETTINGS, ToySubject, same, state_of, toy_subject

TENTHS = tuple(f"0.{tenth}" for tenth in range(1, 10))
PAPER_RATES = ("0", "1e-6", "1e-5", "1e-4", "1e-3", "1e-2", *TENTHS, "1", "1e2", "1e3", "1e6")


@pytest.fixture
def subject(small_task: NodeClassification, tmp_path: Path) -> ToySubject:
    return toy_subject(small_task, tmp_path)


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[TrainingSettings, int]]:
    """The settings and seeds of the trainings since the test began."""
    asked: list[tuple[TrainingSettings, int]] = []

    def record(model: GraphModel, task: Task, settings: TrainingSettings, seed: int) -> Fitted:
        asked.append((settings, seed))
        return fit(model, task, settings, seed)

    monkeypatch.setattr(gnn.compression.l2, "fit", record)
    return asked


@pytest.mark.parametrize("rate", PAPER_RATES)
def test_a_rate_stands_in_the_id_as_the_paper_prints_it(rate: str) -> None:
    assert L2(float(rate)).id_parts() == (f"r{rate}",)


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        (L2(0), ("r0",)),
        (L2(1), ("r1",)),
        (L2(0.05), ("r5e-2",)),
        (L2(2.5), ("r2.5",)),
        (L2(10), ("r1e1",)),
        (L2(1.25e-4), ("r1.25e-4",)),
        (L2(1e-3, 0.9), ("r1e-3", "s0.9")),
        (L2(100, sparsity=0.5), ("r1e2", "s0.5")),
    ],
)
def test_settings_as_they_stand_in_a_case_id(settings: L2, parts: tuple[str, ...]) -> None:
    assert settings.id_parts() == parts


@pytest.mark.parametrize("rate", [-1e-9, math.nan, math.inf, "0.1"])
def test_a_rate_that_is_no_number_from_0_on_is_refused(rate: float) -> None:
    with pytest.raises(SettingError) as caught:
        L2(rate)
    assert str(caught.value) == f"rate {rate!r} is no number from 0 on; give the weight decay, such as 1e-3"


def test_a_share_outside_the_range_is_refused() -> None:
    with pytest.raises(SettingError, match=r"^sparsity 1\.0 is outside \[0, 1\)"):
        L2(0.1, 1.0)


def test_it_compresses_only_when_it_prunes() -> None:
    assert METHODS["l2"].settings_class is L2
    assert not L2(1e6).compresses
    assert L2(0, 0.1).compresses


def test_only_the_weight_decay_differs_from_the_recipe(
    subject: ToySubject, fits: list[tuple[TrainingSettings, int]]
) -> None:
    compress(subject.model, L2(0.25), subject.context)
    assert fits == [(replace(SETTINGS, weight_decay=0.25), 0)]


def test_the_rate_of_the_recipe_gives_the_dense_model_to_the_bit(subject: ToySubject) -> None:
    dense = state_of(subject.model)
    regularized = compress(subject.model, L2(SETTINGS.weight_decay), subject.context).model
    assert same(state_of(regularized), dense)
    assert not regularized.training


def test_a_stronger_rate_leaves_smaller_weights_and_they_stay_finite(subject: ToySubject) -> None:
    norms, near = [], []
    for rate in (0, 0.1, 1e6):
        model = compress(subject.model, L2(rate), subject.context).model
        weights = [getattr(module, name) for _, module, name in prunable_parameters(model)]
        assert all(weight.isfinite().all() for weight in weights)
        norms.append(sum(float(weight.detach().square().sum()) for weight in weights))
        near.append(near_zero_share(model))
    assert norms[0] > norms[1] > norms[2]
    assert near[0] < near[2]


def test_a_rate_is_trained_once_with_and_without_pruning(
    subject: ToySubject, fits: list[tuple[TrainingSettings, int]]
) -> None:
    whole = compress(subject.model, L2(1e-3), subject.context)
    pruned = compress(subject.model, L2(1e-3, 0.75), subject.context)
    again = compress(subject.model, L2(0.001), subject.context)
    assert len(fits) == 1
    assert same(state_of(whole.model), state_of(again.model))
    assert whole.fitted == pruned.fitted == again.fitted
    assert whole.extra_training_s == pruned.extra_training_s == again.extra_training_s
    compress(subject.model, L2(2e-3), subject.context)
    assert len(fits) == 2


def test_pruning_removes_the_smallest_of_the_regularized_weights(subject: ToySubject) -> None:
    whole = compress(subject.model, L2(1e-3), subject.context)
    pruned = compress(subject.model, L2(1e-3, 0.75), subject.context)
    assert whole.masks.kept == {}
    assert whole.compressed_tensors == 0
    before = torch.cat([whole.model.get_parameter(name).flatten() for name in pruned.masks.kept])
    after = torch.cat([pruned.model.get_parameter(name).flatten() for name in pruned.masks.kept])
    gone = torch.cat([~mask.flatten() for mask in pruned.masks.kept.values()])
    assert int(gone.sum()) == round(0.75 * len(before))
    assert torch.equal(after, before.masked_fill(gone, 0.0))
    assert before[gone].abs().max() <= before[~gone].abs().min()


def test_what_is_told_of_the_training_is_told_of_its_own(subject: ToySubject) -> None:
    outcome = compress(subject.model, L2(1e-3), subject.context)
    model = subject.context.initial()
    expected = fit(model, subject.context.task, replace(SETTINGS, weight_decay=1e-3), 0)
    assert outcome.fitted is not None
    assert replace(outcome.fitted, cpu_s=expected.cpu_s) == expected
    assert outcome.extra_training_s == outcome.fitted.cpu_s > 0


def test_other_code_of_the_method_trains_again(
    subject: ToySubject, fits: list[tuple[TrainingSettings, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    compress(subject.model, L2(1e-3), subject.context)
    roots: list[object] = []
    monkeypatch.setattr(gnn.compression.retraining, "source_sha256", lambda *asked: roots.extend(asked) or "other")
    compress(subject.model, L2(1e-3), subject.context)
    assert len(fits) == 2
    assert roots == [METHODS["l2"].compress]


def test_without_a_training_context_it_cannot_work(subject: ToySubject) -> None:
    with pytest.raises(SettingError, match=r"^this method trains the model; give compress\(\) its training context"):
        compress(subject.model, L2(1e-3))


def test_the_recipe_itself_is_left_alone(subject: ToySubject) -> None:
    compress(subject.model, L2(0.5), subject.context)
    assert subject.context.recipe == RECIPE
