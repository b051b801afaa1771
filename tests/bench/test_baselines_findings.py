"""A training that was cut short is red: its number is not that of the model."""

from dataclasses import replace

from bench.findings import of_every_run, truncated
from fixtures.artifacts import CaseRuns
from fixtures.findings import FAIL
from gnn.case import Case
from gnn.compression import Dense
from gnn.models import build_model_for
from gnn.trial import BaseModel
from tests.fixtures.conftest import made_up_run, small_task


def runs(*trained: tuple[int, int, bool]) -> CaseRuns:
    """One seed for each best epoch, epochs that were run, and whether more were needed."""
    task = small_task()
    model = build_model_for("spline", task)
    seeds = tuple(
        replace(made_up_run(seed, 0.9, 0.9, model), best_epoch=best, epochs=epochs, truncated=cut)
        for seed, (best, epochs, cut) in enumerate(trained)
    )
    return CaseRuns(Case("cora-node", "spline", Dense()), task, seeds, BaseModel(model, 1.0, 1, 2, truncated=False))


def test_a_training_that_had_its_time_is_fine() -> None:
    assert list(of_every_run(truncated)(runs((1, 2, False), (190, 200, False)))) == []


def test_a_training_that_was_cut_short_fails_for_its_seed_with_a_remedy() -> None:
    findings = list(of_every_run(truncated)(runs((10, 20, False), (199, 200, True), (40, 60, False), (1, 1, True))))
    assert [finding.status for finding in findings] == [FAIL, FAIL]
    assert [finding.sentence for finding in findings] == [
        f"cora-node.spline.dense: the best of {epochs} epochs is number {best}; raise most_epochs of its recipe "
        f"(seed {seed})"
        for best, epochs, seed in ((199, 200, 1), (1, 1, 3))
    ]
