"""Gradual pruning follows its cubic schedule and leaves the last fine-tuning to the case."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch

import gnn.compression.retraining
from gnn.compression import GlobalMagnitude, Gradual, Masks, compress, sparsity_of
from gnn.compression.masks import fine_tune
from gnn.models import GraphModel
from gnn.tasks import NodeClassification, Task
from gnn.training import Fitted
from gnn.training_settings import TrainingSettings
from tests.gnn.toy_training import RECIPE, same, state_of, toy_subject

Calls = list[tuple[float, Masks, TrainingSettings, int, Fitted]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """The sparsity, masks, settings, seed and outcome of every fine-tuning since the test began."""
    seen: Calls = []

    def record(model: GraphModel, task: Task, masks: Masks, settings: TrainingSettings, seed: int) -> Fitted:
        sparsity = sparsity_of(model)[0]
        fitted = fine_tune(model, task, masks, settings, seed)
        seen.append((sparsity, masks, settings, seed, fitted))
        return fitted

    monkeypatch.setattr(gnn.compression.retraining, "fine_tune", record)
    return seen


def test_sparsity_follows_the_cubic_schedule_and_ends_exactly(
    small_task: NodeClassification, tmp_path: Path, calls: Calls
) -> None:
    subject = toy_subject(small_task, tmp_path, seed=3)
    outcome = compress(subject.model, Gradual(0.9), subject.context)
    count = sum(mask.numel() for mask in outcome.masks.kept.values())
    schedule = [0.9 * (1 - remaining**3) for remaining in (0.8, 0.6, 0.4, 0.2, 0.0)]
    reached = [*(call[0] for call in calls), sparsity_of(outcome.model)[0]]
    assert reached == [round(sparsity * count) / count for sparsity in schedule]
    assert [call[3] for call in calls] == [3] * 4


def test_what_was_removed_stays_removed(small_task: NodeClassification, tmp_path: Path, calls: Calls) -> None:
    subject = toy_subject(small_task, tmp_path)
    outcome = compress(subject.model, Gradual(0.8), subject.context)
    masks = [*(call[1] for call in calls), outcome.masks]
    for earlier, later in pairwise(masks):
        assert not any((mask & ~earlier.kept[name]).any() for name, mask in later.kept.items())
    for name, mask in outcome.masks.kept.items():
        assert not outcome.model.get_parameter(name)[~mask].view(torch.int32).any()


@pytest.mark.parametrize(("epochs", "part"), [(10, 2), (30, 6), (4, 2), (1, 2)])
def test_fine_tuning_between_rounds_shares_the_epochs_of_the_recipe(
    small_task: NodeClassification, tmp_path: Path, calls: Calls, epochs: int, part: int
) -> None:
    tuning = replace(RECIPE.fine_tuning, epochs=epochs, most_epochs=50)
    subject = toy_subject(small_task, tmp_path, recipe=replace(RECIPE, fine_tuning=tuning))
    compress(subject.model, Gradual(0.5), subject.context)
    assert [call[2] for call in calls] == [replace(tuning, epochs=part, most_epochs=None)] * 4
    assert [call[4].epochs for call in calls] == [part] * 4


def test_the_time_is_that_of_dense_training_and_fine_tuning(
    small_task: NodeClassification, tmp_path: Path, calls: Calls
) -> None:
    subject = toy_subject(small_task, tmp_path)
    outcome = compress(subject.model, Gradual(0.5), subject.context)
    assert outcome.extra_training_s == pytest.approx(sum(call[4].cpu_s for call in calls))
    assert outcome.fitted is None


def test_a_second_call_reads_what_the_first_one_made(
    small_task: NodeClassification, tmp_path: Path, calls: Calls
) -> None:
    subject = toy_subject(small_task, tmp_path)
    first, again = (compress(subject.model, Gradual(0.5), subject.context) for _ in range(2))
    assert len(calls) == 4
    assert same(state_of(first.model), state_of(again.model))
    assert first.extra_training_s == again.extra_training_s


def test_it_repeats_to_the_bit_and_differs_from_pruning_at_once(small_task: NodeClassification, tmp_path: Path) -> None:
    states = []
    for number, method in enumerate((Gradual(0.8), Gradual(0.8), GlobalMagnitude(0.8))):
        subject = toy_subject(small_task, tmp_path / str(number))
        states.append(state_of(compress(subject.model, method, subject.context).model))
    assert same(states[0], states[1])
    assert not same(states[0], states[2])


def test_settings_as_they_stand_in_a_case_id() -> None:
    assert (Gradual.method, Gradual(0.9).id_parts()) == ("gradual", ("s0.9",))
