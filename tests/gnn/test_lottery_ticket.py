"""Tickets and their controls are rewound to what they say, pruned in equal steps and trained alike."""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import gnn.compression.lottery_ticket
import gnn.compression.retraining
from gnn.compression import METHODS, GlobalMagnitude, LotteryTicket, Masks, compress, sparsity_of
from gnn.compression.iterative_pruning import prune_further
from gnn.compression.lottery_ticket import Start, sparsity_of_rounds
from gnn.compression.masks import fine_tune
from gnn.errors import SettingError
from gnn.models import GraphModel
from gnn.tasks import NodeClassification, Task
from gnn.training import Fitted, fit
from gnn.training_settings import Recipe, TrainingSettings
from tests.gnn.conftest import build_small_model
from tests.gnn.toy_training import SETTINGS, State, ToySubject, same, state_of, toy_subject

STARTS: tuple[Start, ...] = get_args(Start)
# So long that the early epoch is the third, and so fast that the second is better.
LONGER = Recipe(replace(SETTINGS, learning_rate=0.3, epochs=60, patience=60, most_epochs=60), SETTINGS)


@dataclass(frozen=True, eq=False)
class Training:
    """One training under masks: from what, with what, and what became of it."""

    before: State
    masks: Masks
    settings: TrainingSettings
    seed: int
    after: State
    fitted: Fitted


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[Training]:
    """The trainings under masks since the test began."""
    seen: list[Training] = []

    def record(model: GraphModel, task: Task, masks: Masks, settings: TrainingSettings, seed: int) -> Fitted:
        before = state_of(model)
        fitted = fine_tune(model, task, masks, settings, seed)
        seen.append(Training(before, masks, settings, seed, state_of(model), fitted))
        return fitted

    monkeypatch.setattr(gnn.compression.lottery_ticket, "fine_tune", record)
    return seen


@pytest.fixture
def new_subject(small_task: NodeClassification, tmp_path: Path) -> Callable[[], ToySubject]:
    """A function that gives the same trained subject again: a method may change it."""
    subject = toy_subject(small_task, tmp_path)
    return lambda: subject._replace(model=copy.deepcopy(subject.model))


def removed(masks: Masks) -> int:
    return sum(int((~mask).sum()) for mask in masks.kept.values())


def weights(masks: Masks) -> int:
    return sum(mask.numel() for mask in masks.kept.values())


def masked(state: State, masks: Masks) -> State:
    return {name: tensor * masks.kept[name] if name in masks.kept else tensor for name, tensor in state.items()}


@pytest.mark.parametrize(("sparsity", "rounds", "share"), [(0.5, 3, 0.206), (0.8, 7, 0.205), (0.9, 10, 0.206)])
def test_rounds_remove_a_fifth_of_the_rest_or_what_is_nearest_to_it(sparsity: float, rounds: int, share: float) -> None:
    after = sparsity_of_rounds(sparsity)
    assert len(after) == rounds
    assert after[0] == pytest.approx(share, abs=5e-4)


@settings(deadline=None, derandomize=True)
@given(st.floats(0.01, 0.999))
def test_every_round_removes_the_same_share_and_the_last_ends_exactly_at_the_sparsity(sparsity: float) -> None:
    after = sparsity_of_rounds(sparsity)
    remaining = [1.0, *(1 - value for value in after)]
    shares = [1 - rest / before for before, rest in pairwise(remaining)]
    assert after[-1] == sparsity
    assert shares == pytest.approx([shares[0]] * len(shares))
    others = [1 - (1 - sparsity) ** (1 / rounds) for rounds in (len(after) - 1, len(after) + 1) if rounds]
    assert all(abs(shares[0] - 0.2) <= abs(other - 0.2) + 1e-9 for other in others)


def test_every_round_trains_the_initial_weights_under_the_mask_of_the_round(
    new_subject: Callable[[], ToySubject], trainings: list[Training]
) -> None:
    subject = new_subject()
    model, masks = new_subject().model, Masks()
    compress(subject.model, LotteryTicket(0.8), subject.context)
    assert len(trainings) == 7
    for number, training in enumerate(trainings, start=1):
        masks = prune_further(model, masks, 1 - 0.2 ** (number / 7))
        assert all(torch.equal(mask, training.masks.kept[name]) for name, mask in masks.kept.items())
        assert same(training.before, masked(subject.context.initial().state_dict(), masks))
        assert (training.settings, training.seed) == (SETTINGS, 0)
        model.load_state_dict(training.after)


def test_the_ticket_is_the_last_training_and_its_time_that_of_all_with_the_dense_one(
    new_subject: Callable[[], ToySubject], trainings: list[Training]
) -> None:
    subject = new_subject()
    ticket = compress(subject.model, LotteryTicket(0.5), subject.context)
    assert same(state_of(ticket.model), trainings[-1].after)
    assert not ticket.model.training
    assert ticket.fitted == trainings[-1].fitted
    assert ticket.extra_training_s == pytest.approx(sum(training.fitted.cpu_s for training in trainings))


def test_an_early_ticket_starts_with_what_dense_training_had_after_a_twentieth_of_its_epochs(
    small_task: NodeClassification, tmp_path: Path, trainings: list[Training]
) -> None:
    subject = toy_subject(small_task, tmp_path, recipe=LONGER)
    model, states = build_small_model(small_task, 0), []
    fit(model, small_task, LONGER.training, 0, after_step=lambda: states.append(state_of(model)))
    early = replace(LONGER.training, epochs=3, patience=3, most_epochs=None)
    assert fit(build_small_model(small_task, 0), small_task, early, 0).best_epoch == 2
    compress(subject.model, LotteryTicket(0.2, "early"), subject.context)
    (training,) = trainings
    assert same(training.before, masked(states[2], training.masks))
    assert training.settings == LONGER.training


def test_a_short_training_is_rewound_to_its_first_epoch(
    new_subject: Callable[[], ToySubject], trainings: list[Training]
) -> None:
    subject = new_subject()
    compress(subject.model, LotteryTicket(0.2, "early"), subject.context)
    initial = masked(subject.context.initial().state_dict(), trainings[0].masks)
    largest = max(float((tensor - initial[name]).abs().max()) for name, tensor in trainings[0].before.items())
    # One step of Adam moves a weight by the learning rate.
    assert largest == pytest.approx(SETTINGS.learning_rate, rel=0.01)


def test_random_weights_have_the_mask_of_the_initial_ticket_and_nothing_of_its_weights(
    new_subject: Callable[[], ToySubject], trainings: list[Training]
) -> None:
    subject = new_subject()
    control = compress(subject.model, LotteryTicket(0.8, "random"), subject.context)
    *of_ticket, of_control = trainings
    ticket = compress(new_subject().model, LotteryTicket(0.8), subject.context)
    assert len(trainings) == len(of_ticket) + 1 == 8
    all_initial = subject.context.initial().state_dict()
    for name, mask in ticket.masks.kept.items():
        assert torch.equal(mask, control.masks.kept[name])
        drawn, initial = of_control.before[name], of_ticket[-1].before[name]
        assert (drawn[mask] == initial[mask]).float().mean() < 0.01
        # Of all initial weights: those that are kept are the larger ones.
        assert drawn[mask].std() == pytest.approx(float(all_initial[name].std()), rel=0.2)
    assert (of_control.settings, of_control.seed) == (SETTINGS, 0)
    assert control.extra_training_s == pytest.approx(ticket.extra_training_s + of_control.fitted.cpu_s)


def test_random_weights_are_drawn_anew_for_every_seed_and_repeat(
    small_task: NodeClassification, tmp_path: Path, trainings: list[Training]
) -> None:
    for folder, seed in (("one", 0), ("other", 0), ("one", 1)):
        subject = toy_subject(small_task, tmp_path / folder, seed)
        compress(subject.model, LotteryTicket(0.2, "random"), subject.context)
    # Each ticket is one training, and its control the next.
    one, again, other = trainings[1::2]
    for name, mask in one.masks.kept.items():
        assert torch.equal(one.before[name], again.before[name])
        kept_by_both = mask & other.masks.kept[name]
        assert (one.before[name] == other.before[name])[kept_by_both].float().mean() < 0.01


def test_one_shot_prunes_the_dense_model_once(new_subject: Callable[[], ToySubject], trainings: list[Training]) -> None:
    subject = new_subject()
    expected = compress(new_subject().model, GlobalMagnitude(0.8)).masks
    control = compress(subject.model, LotteryTicket(0.8, "one-shot"), subject.context)
    (training,) = trainings
    assert all(torch.equal(mask, control.masks.kept[name]) for name, mask in expected.kept.items())
    assert same(training.before, masked(subject.context.initial().state_dict(), expected))
    assert control.extra_training_s == training.fitted.cpu_s


@pytest.mark.parametrize("start", STARTS)
def test_every_start_removes_exactly_as_many_weights_and_keeps_them_removed(
    new_subject: Callable[[], ToySubject], start: Start
) -> None:
    subject = new_subject()
    outcome = compress(subject.model, LotteryTicket(0.7, start), subject.context)
    assert removed(outcome.masks) == round(0.7 * weights(outcome.masks))
    assert sparsity_of(outcome.model)[0] == removed(outcome.masks) / weights(outcome.masks)
    for name, mask in outcome.masks.kept.items():
        assert not outcome.model.get_parameter(name)[~mask].view(torch.int32).any()


@pytest.mark.parametrize("start", STARTS)
def test_what_was_found_once_is_not_searched_again(
    new_subject: Callable[[], ToySubject], trainings: list[Training], start: Start
) -> None:
    first, again = (
        compress((subject := new_subject()).model, LotteryTicket(0.4, start), subject.context) for _ in range(2)
    )
    count = {"init": 2, "early": 2, "random": 3, "one-shot": 1}[start]
    assert len(trainings) == count
    assert same(state_of(first.model), state_of(again.model))
    assert same(first.masks.kept, again.masks.kept)
    assert (first.fitted, first.extra_training_s) == (again.fitted, again.extra_training_s)


def test_a_change_of_the_methods_own_code_searches_again(
    new_subject: Callable[[], ToySubject], trainings: list[Training], monkeypatch: pytest.MonkeyPatch
) -> None:
    subject = new_subject()
    compress(subject.model, LotteryTicket(0.5), subject.context)
    roots: list[object] = []
    monkeypatch.setattr(gnn.compression.retraining, "source_sha256", lambda *asked: roots.extend(asked) or "other")
    count = len(trainings)
    compress(subject.model, LotteryTicket(0.5), subject.context)
    assert len(trainings) == 2 * count > 0
    assert roots == [METHODS["lottery-ticket"].compress]


def test_starts_and_sparsities_are_not_mistaken_for_each_other(new_subject: Callable[[], ToySubject]) -> None:
    asked = [LotteryTicket(0.4, start) for start in STARTS] + [LotteryTicket(0.5)]
    states = [state_of(compress((subject := new_subject()).model, one, subject.context).model) for one in asked]
    assert not any(same(one, other) for number, one in enumerate(states) for other in states[:number])


def test_settings_as_they_stand_in_a_case_id() -> None:
    assert LotteryTicket(0.8).id_parts() == ("s0.8", "init")
    assert [LotteryTicket(0.5, start).id_parts()[1] for start in STARTS] == ["init", "early", "random", "one-shot"]


def test_another_start_or_share_is_refused() -> None:
    with pytest.raises(SettingError) as caught:
        LotteryTicket(0.8, "late")  # pyright: ignore[reportArgumentType]
    assert str(caught.value) == "start 'late' is unknown; valid are: early, init, one-shot, random"
    for share in (1.0, -0.1, math.nan):
        with pytest.raises(SettingError, match=r"is outside \[0, 1\)"):
            LotteryTicket(share)
