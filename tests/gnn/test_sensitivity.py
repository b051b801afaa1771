"""Sensitivity pruning measures each layer alone, and removes the most that the validation score can spare."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import gnn.compression.sensitivity
from gnn.compression import FineGrained, LayerSensitivity, Sensitivity, compress, sensitivity_scan, sparsity_of
from gnn.compression.sensitivity import SPARSITIES, _cheapest_path
from gnn.errors import SettingError
from gnn.models import GraphModel
from gnn.tasks import NodeClassification
from gnn.training import Validation, validate
from tests.gnn.toy_training import ToySubject, same, state_of, toy_subject

Validate = Callable[[float], Validation]


@pytest.fixture
def subject(small_task: NodeClassification, tmp_path: Path) -> ToySubject:
    return toy_subject(small_task, tmp_path)


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> Callable[[Validate], None]:
    """A function that lets the total sparsity of a model decide about its validation."""

    def make_up(of_sparsity: Validate) -> None:
        monkeypatch.setattr(
            gnn.compression.sensitivity, "validate", lambda model, *_: of_sparsity(sparsity_of(model)[0])
        )

    return make_up


def score_of(model: GraphModel, task: NodeClassification) -> float:
    return validate(model, task, model.prepare(task)).score


def test_the_scan_is_what_validating_models_with_one_pruned_layer_gives(
    subject: ToySubject, small_task: NodeClassification, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts: list[str] = []
    score = NodeClassification.score
    monkeypatch.setattr(NodeClassification, "score", lambda *of: parts.append(of[-1]) or score(*of))
    before = state_of(subject.model)
    found = sensitivity_scan(subject.model, small_task)
    assert set(parts) == {"validation"}
    assert same(before, state_of(subject.model))
    dense = validate(subject.model, small_task, subject.model.prepare(small_task))
    for share in (0.2, 0.95):
        pruned = compress(subject.model, FineGrained(share)).model
        for name, measured in found.items():
            alone = copy.deepcopy(subject.model)
            alone.get_parameter(name).data.copy_(pruned.get_parameter(name).data)
            expected = validate(alone, small_task, alone.prepare(small_task))
            (at_share,) = [
                one for one in measured if abs(one.sparsity - share) < 0.5 / pruned.get_parameter(name).numel()
            ]
            assert at_share.sparsity == sparsity_of(pruned)[1][name]
            assert at_share.score_drop == dense.score - expected.score
            assert at_share.loss_increase == pytest.approx(expected.loss - dense.loss, abs=1e-6)
    assert list(found) == list(sparsity_of(subject.model)[1])
    assert all(len(measured) == len(SPARSITIES) for measured in found.values())


@pytest.mark.parametrize("max_drop", [0.0, 0.02, 0.1])
def test_the_validation_score_stays_within_the_budget(
    subject: ToySubject, small_task: NodeClassification, max_drop: float
) -> None:
    found, again = (compress(subject.model, Sensitivity(max_drop), subject.context) for _ in range(2))
    assert score_of(found.model, small_task) >= score_of(subject.model, small_task) - max_drop - 1e-9
    assert same(state_of(found.model), state_of(again.model))
    for name, kept in found.masks.kept.items():
        dense = subject.model.get_parameter(name)
        assert torch.equal(found.model.get_parameter(name), dense.masked_fill(~kept, 0.0))
        assert kept.any()
        assert kept.all() or dense[~kept].abs().max() <= dense[kept].abs().min()
    assert len(set(sparsity_of(found.model)[1].values())) > 1


def test_it_is_the_sparsest_model_of_the_path_that_keeps_the_budget(
    subject: ToySubject, made_up: Callable[[Validate], None]
) -> None:
    made_up(lambda sparsity: Validation(0.9 - 0.1 * sparsity, sparsity))
    sparsity = [
        sparsity_of(compress(subject.model, Sensitivity(drop), subject.context).model)[0] for drop in (0.05, 0.09, 1)
    ]
    assert 0.4 < sparsity[0] <= 0.5
    assert 0.8 < sparsity[1] <= 0.9
    assert sparsity[2] == pytest.approx(0.98, abs=0.002)


def test_a_drop_as_large_as_the_budget_is_within_it(subject: ToySubject, made_up: Callable[[Validate], None]) -> None:
    assert 0.888 - 0.878 > 0.01
    made_up(lambda sparsity: Validation(0.878 if sparsity else 0.888, sparsity))
    assert sparsity_of(compress(subject.model, Sensitivity(0.01), subject.context).model)[0] > 0.9


def measured(*points: tuple[float, float]) -> tuple[LayerSensitivity, ...]:
    return tuple(LayerSensitivity(sparsity, 0.0, loss) for sparsity, loss in points)


def test_steps_go_by_their_loss_for_each_weight() -> None:
    # Slopes per weight: small 1, 3; large 0.5, 2.
    scan = {"small": measured((0.5, 5.0), (0.9, 17.0)), "large": measured((0.5, 25.0), (0.9, 105.0))}
    assert _cheapest_path(scan, {"small": 10, "large": 100}) == [
        {"small": 0, "large": 50},
        {"small": 5, "large": 50},
        {"small": 5, "large": 90},
        {"small": 9, "large": 90},
    ]


@pytest.mark.parametrize(
    ("points", "removed"),
    [
        # The one in the middle costs more than half of what comes after.
        (((0.2, 3.0), (0.4, 4.0), (0.6, 9.0)), [4, 6]),
        (((0.2, 1.0), (0.4, float("inf")), (0.6, float("nan"))), [2]),
        (((0.2, 0.5), (0.2, 0.5), (0.4, 2.0)), [2, 4]),
        # Where the loss falls nothing less is worth a look.
        (((0.2, 0.1), (0.4, -1.0), (0.6, -0.5)), [4, 6]),
    ],
)
def test_a_sparsity_that_a_mix_of_others_beats_is_no_step(
    points: tuple[tuple[float, float], ...], removed: list[int]
) -> None:
    assert _cheapest_path({"a": measured(*points)}, {"a": 10}) == [{"a": count} for count in removed]


@pytest.mark.parametrize("max_drop", [-0.01, float("nan"), float("inf"), "0.01"])
def test_a_budget_that_is_none_is_refused(max_drop: Any) -> None:  # noqa: ANN401
    with pytest.raises(SettingError, match=r"^max_drop .* is no drop of a score; give 0 or a positive number"):
        Sensitivity(max_drop)


def test_what_cannot_be_measured_is_said_in_one_sentence(
    subject: ToySubject, made_up: Callable[[Validate], None]
) -> None:
    with pytest.raises(
        SettingError, match=r"^sensitivity measures .* validation part .*; give compress\(\) the model's"
    ):
        compress(subject.model, Sensitivity())
    made_up(lambda sparsity: Validation(0.9 - sparsity, sparsity))
    with pytest.raises(SettingError, match=r"^no step .* a validation drop of 0\.001; raise max_drop$"):
        compress(subject.model, Sensitivity(0.001), subject.context)
    made_up(lambda _: Validation(float("nan"), float("inf")))
    with pytest.raises(SettingError, match=r"^the validation loss of the dense model is inf; train it first$"):
        compress(subject.model, Sensitivity(), subject.context)


def test_settings_as_they_stand_in_a_case_id() -> None:
    assert [Sensitivity(drop).id_parts() for drop in (0, 0.01, 1e-5)] == [("d0",), ("d0.01",), ("d1e-05",)]
    assert (Sensitivity.method, Sensitivity().compresses) == ("sensitivity", True)
