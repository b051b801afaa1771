"""A fine-tuning is read where it is the very same, and done where anything that decides it differs."""

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import gnn.compression.retraining
from gnn.compression import FineGrained, GlobalMagnitude, Masks
from gnn.compression.retraining import fine_tune_once
from gnn.models import GraphModel
from gnn.tasks import NodeClassification
from tests.gnn.toy_training import SETTINGS, ToySubject, same, state_of, toy_subject

WEIGHT = "conv2.weight"


@pytest.fixture
def subject(small_task: NodeClassification, tmp_path: Path) -> ToySubject:
    return toy_subject(small_task, tmp_path)


@pytest.fixture
def masks(subject: ToySubject) -> Masks:
    weight = subject.model.get_parameter(WEIGHT)
    return Masks({WEIGHT: weight.abs() > weight.abs().median()})


@pytest.fixture
def tuned(monkeypatch: pytest.MonkeyPatch) -> list[nn.Module]:
    """The models that were fine-tuned since the test began."""
    models: list[nn.Module] = []
    real = gnn.compression.retraining.fine_tune
    monkeypatch.setattr(
        gnn.compression.retraining, "fine_tune", lambda model, *rest: models.append(model) or real(model, *rest)
    )
    return models


def masked(subject: ToySubject, masks: Masks) -> GraphModel:
    model = copy.deepcopy(subject.model)
    masks.apply(model)
    return model


def test_the_same_fine_tuning_is_read(subject: ToySubject, masks: Masks, tuned: list[nn.Module]) -> None:
    models = [masked(subject, masks) for _ in range(2)]
    fitted = [
        fine_tune_once(subject.context, model, copy.deepcopy(masks), SETTINGS, GlobalMagnitude(0.5)) for model in models
    ]
    assert tuned == models[:1]
    assert fitted[0] == fitted[1]
    assert same(state_of(models[0]), state_of(models[1]))
    assert not same(state_of(models[0]), state_of(masked(subject, masks)))
    assert not models[1].training


def test_other_weights_masks_or_settings_train_again(subject: ToySubject, masks: Masks, tuned: list[nn.Module]) -> None:
    fine_tune_once(subject.context, masked(subject, masks), masks, SETTINGS, GlobalMagnitude(0.5))
    fine_tune_once(subject.context, masked(subject, masks), Masks(), SETTINGS, GlobalMagnitude(0.5))
    fine_tune_once(subject.context, masked(subject, masks), masks, replace(SETTINGS, epochs=6), GlobalMagnitude(0.5))
    moved = masked(subject, masks)
    with torch.no_grad():
        moved.get_parameter("conv1.bias")[0] += 1e-6
    fine_tune_once(subject.context, moved, masks, SETTINGS, GlobalMagnitude(0.5))
    assert len(tuned) == 4


def test_what_the_weights_do_not_tell_of_a_model_trains_again(
    subject: ToySubject, masks: Masks, tuned: list[nn.Module]
) -> None:
    fine_tune_once(subject.context, masked(subject, masks), masks, SETTINGS, GlobalMagnitude(0.5))
    other = masked(subject, masks)
    other.settings = replace(other.settings, dropout=0.123)
    fine_tune_once(subject.context, other, masks, SETTINGS, GlobalMagnitude(0.5))
    assert len(tuned) == 2


class Scaled(nn.ReLU):
    """A layer that the registered model has not."""


def test_a_layer_of_the_methods_own_trains_again_for_other_settings_of_it(
    subject: ToySubject, masks: Masks, tuned: list[nn.Module]
) -> None:
    for settings in (GlobalMagnitude(0.5), FineGrained(0.5), GlobalMagnitude(0.5), GlobalMagnitude(0.6)):
        model = masked(subject, masks)
        model.add_module("own", Scaled())
        fine_tune_once(subject.context, model, masks, SETTINGS, settings)
    assert len(tuned) == 3


def test_weights_that_are_not_contiguous_are_kept_too(subject: ToySubject, tuned: list[nn.Module]) -> None:
    models = [copy.deepcopy(subject.model) for _ in range(2)]
    for model in models:
        weight = model.get_parameter("conv1.lin.weight")
        weight.data = weight.data.t().contiguous().t()
        assert not weight.is_contiguous()
        fine_tune_once(subject.context, model, Masks(), SETTINGS, GlobalMagnitude(0.5))
    assert len(tuned) == 1
    assert same(state_of(models[0]), state_of(models[1]))
