"""A pruned case has what its masks say, and one with a validation budget keeps it."""

import copy
from dataclasses import replace

import pytest

from bench.findings import achieved_sparsity, within_budget
from fixtures.artifacts import CaseRuns
from fixtures.findings import FAIL, PASS
from gnn.case import Case
from gnn.compression import Compressed, Dense, GlobalMagnitude, LayerAdaptive, Sensitivity, compress, sparsity_of
from gnn.compression.registry import CompressionSettings
from gnn.models import GraphModel
from gnn.trial import BaseModel
from tests.fixtures.conftest import made_up_run
from tests.gnn.conftest import build_small_task
from tests.gnn.toy_training import ToySubject, toy_subject

NAME = "conv2.lin.weight"


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> ToySubject:
    return toy_subject(build_small_task(), tmp_path_factory.mktemp("store"))


def runs_of(
    subject: ToySubject, settings: CompressionSettings, found: Compressed, model: GraphModel, *, fine_tune: bool = False
) -> CaseRuns:
    """One seed whose method reported what was found, and whose file holds the model."""
    total, layers = sparsity_of(model)
    masked = {name: 1 - int(mask.sum()) / mask.numel() for name, mask in found.masks.kept.items()}
    run = replace(
        made_up_run(0, 0.9, 0.9, model),
        sparsity=total,
        layer_sparsity=layers,
        masked_share=masked,
        compressed_tensors=found.compressed_tensors,
    )
    base = BaseModel(subject.model, 1.0, 1, 2, truncated=False)
    return CaseRuns(Case("cora-node", "spline", settings, fine_tune), subject.context.task, (run,), base)


@pytest.mark.parametrize("settings", [GlobalMagnitude(0.7), LayerAdaptive(0.7), Sensitivity(0.1), Dense()])
def test_a_model_is_as_sparse_as_asked_or_as_its_masks_say(subject: ToySubject, settings: CompressionSettings) -> None:
    found = compress(subject.model, settings, subject.context)
    runs = runs_of(subject, settings, found, found.model)
    assert {finding.status for finding in achieved_sparsity(runs.case, runs.runs[0])} == {PASS}
    other = copy.deepcopy(found.model)
    other.get_parameter(NAME).data.flatten()[:] = 1.0 if settings.compresses else 0.0
    runs = runs_of(subject, settings, found, other)
    failed = [finding.sentence for finding in achieved_sparsity(runs.case, runs.runs[0]) if finding.status == FAIL]
    assert any(f"layer_sparsity.{NAME} is " in sentence for sentence in failed)
    assert any(": sparsity is " in sentence for sentence in failed)


def test_a_model_below_its_validation_budget_fails(subject: ToySubject) -> None:
    settings = Sensitivity(0.05)
    found = compress(subject.model, settings, subject.context)
    assert [finding.status for finding in within_budget(runs_of(subject, settings, found, found.model))] == [PASS]
    emptied = compress(subject.model, GlobalMagnitude(0.99)).model
    (finding,) = within_budget(runs_of(subject, settings, found, emptied))
    assert finding.status == FAIL
    assert finding.sentence.startswith("cora-node.spline.sensitivity.d0.05: the validation score is 0.")
    assert finding.sentence.endswith(" below that of the dense model, allowed is 0.05 (seed 0)")
    # Neither fine-tuning nor another method promises anything.
    assert list(within_budget(runs_of(subject, settings, found, emptied, fine_tune=True))) == []
    assert list(within_budget(runs_of(subject, GlobalMagnitude(0.99), found, emptied))) == []
