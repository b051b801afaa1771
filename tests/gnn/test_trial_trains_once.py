"""What was trained once for a case is read for every other case, and for the same case again."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import gnn.compression.retraining
from gnn.artifacts import ArtifactStore
from gnn.case import Case
from gnn.compression import (
    L2,
    Dense,
    FineGrained,
    GlobalMagnitude,
    Gradual,
    Hybrid,
    LotteryTicket,
    Masks,
    Qat,
    Structured,
)
from gnn.models import MODELS, GraphModel
from gnn.tasks import DataSource, Task
from gnn.training import Fitted
from gnn.training_settings import Recipe, TrainingSettings
from gnn.trial import RunContext, Trial
from tests.gnn.toy_training import same

PLANTED = {"cora-node": DataSource("planted")}
DENSE = Case("planted-cora-node", "spline", Dense())
GLOBAL = replace(DENSE, compression=GlobalMagnitude(0.8))
TUNED = replace(GLOBAL, fine_tune=True)
SETTINGS = TrainingSettings(0.01, 5e-3, epochs=4, patience=4)
SHORT = Recipe(SETTINGS, replace(SETTINGS, epochs=2))


@pytest.fixture(autouse=True)
def short_training() -> Iterator[None]:
    """Long enough to change all weights."""
    with MODELS.temporarily("spline", replace(MODELS["spline"], recipe=SHORT)):
        yield


def weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@pytest.fixture
def tuned(monkeypatch: pytest.MonkeyPatch) -> list[Masks]:
    """The masks of every fine-tuning since the test began."""
    masks: list[Masks] = []
    real = gnn.compression.retraining.fine_tune

    def note(model: GraphModel, task: Task, kept: Masks, settings: TrainingSettings, seed: int) -> Fitted:
        masks.append(kept)
        return real(model, task, kept, settings, seed)

    monkeypatch.setattr(gnn.compression.retraining, "fine_tune", note)
    return masks


def test_fine_tuning_is_done_once_for_all_precisions(tuned: list[Masks], tmp_path: Path) -> None:
    run_context = RunContext(ArtifactStore(tmp_path), PLANTED)
    trials = [Trial(replace(TUNED, precision=name), 0, run_context) for name in ("fp32", "fp16", "int8", "int4")]
    found = [trial.compress() for trial in trials]
    assert len(tuned) == 1
    assert all(same(weights(other.model), weights(found[0].model)) for other in found)
    assert {other.extra_training_s for other in found} == {found[0].extra_training_s}
    assert not found[1].model.training
    Trial(replace(TUNED, compression=FineGrained(0.5)), 0, run_context).compress()
    Trial(TUNED, 1, run_context).compress()
    assert len(tuned) == 3


@pytest.mark.parametrize(
    "case",
    [
        TUNED,
        *(
            replace(GLOBAL, compression=settings)
            for settings in (L2(1e-3), L2(5e-3, 0.5), LotteryTicket(0.5, "random"), Hybrid(GlobalMagnitude(0.5)), Qat())
        ),
        replace(TUNED, compression=Gradual(0.8)),
        replace(TUNED, compression=Structured(0.5, "taylor")),
    ],
    ids=lambda case: case.method_id,
)
def test_a_second_run_trains_nothing(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_context = RunContext(ArtifactStore(tmp_path), PLANTED)
    first = Trial(case, 0, run_context).run()
    monkeypatch.setattr("gnn.training._epoch", lambda *_: pytest.fail("something was trained"))
    again = Trial(case, 0, run_context).run()
    assert same(weights(first.model), weights(again.model))
    assert (first.training_s, first.best_epoch, first.validation_loss) == (
        again.training_s,
        again.best_epoch,
        again.validation_loss,
    )


def test_regularization_at_the_rate_of_the_recipe_is_the_dense_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_context = RunContext(ArtifactStore(tmp_path), PLANTED)
    dense = Trial(DENSE, 0, run_context).run()
    monkeypatch.setattr("gnn.training._epoch", lambda *_: pytest.fail("something was trained"))
    found = Trial(replace(GLOBAL, compression=L2(SETTINGS.weight_decay)), 0, run_context).run()
    assert same(weights(found.model), weights(dense.model))
    assert (found.training_s, found.best_epoch, found.epochs) == (dense.training_s, dense.best_epoch, dense.epochs)
