"""The yardstick for NESS is the same model, done the long way."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from bench.yardsticks.ness import EagerNess, eager_ness
from gnn.models.ness import Ness, NessSettings
from gnn.training import fit, outputs_of
from gnn.training_settings import TrainingSettings
from tests.gnn.citation_checks import link_task, new_model

VARIANTS = [
    {},
    {"subgraphs": 3, "edge_dropout": 0.5},
    {"subgraphs": 1},
    {"subgraphs": 3, "contrastive_weight": 0.5, "temperature": 0.5},
]


@pytest.mark.parametrize("change", VARIANTS)
def test_its_logits_are_those_of_the_model(change: dict[str, Any]) -> None:
    task = link_task()
    model = Ness(replace(NessSettings.for_task(task), **change))
    model.load_state_dict(new_model("ness", task).state_dict())
    expected = outputs_of(model, task, model.prepare(task), "test")
    infer = eager_ness(model, task)
    torch.testing.assert_close(infer(), expected, rtol=0, atol=1e-5)
    assert torch.equal(infer(), infer())


@pytest.mark.parametrize("change", VARIANTS)
def test_it_learns_what_the_model_learns(change: dict[str, Any]) -> None:
    task = link_task()
    trained = []
    for architecture in (Ness, EagerNess):
        model = architecture(replace(NessSettings.for_task(task), **change))
        model.load_state_dict(new_model("ness", task).state_dict())
        fit(model, task, TrainingSettings(0.01, 0.0, epochs=5, patience=5), seed=0)
        trained.append(model.state_dict())
    assert not torch.allclose(trained[0]["lin.weight"], new_model("ness", task).state_dict()["lin.weight"], atol=1e-3)
    torch.testing.assert_close(trained[1], trained[0], rtol=0, atol=1e-4)
