"""A structured case has to have smaller matrices, not zeros in them."""

from dataclasses import replace

import pytest
import torch

from bench.findings import really_shrunk
from fixtures.artifacts import CaseRuns
from fixtures.findings import FAIL
from gnn.case import Case
from gnn.compression import Structured, compress
from gnn.models import GraphModel, build_model
from gnn.trial import BaseModel
from tests.fixtures.conftest import made_up_run, small_task
from tests.gnn.random_graphs import random_task


def runs_of(compressed: list[GraphModel], sparsity: float, shrunk: int = 4) -> CaseRuns:
    """One seed for each model."""
    base = build_model("gnnnet", {"in_channels": 4, "out_channels": 2})
    runs = tuple(
        replace(made_up_run(seed, 0.9, 0.9, model), compressed_tensors=shrunk) for seed, model in enumerate(compressed)
    )
    case = Case("bbbp", "gnnnet", Structured(sparsity))
    return CaseRuns(case, small_task(), runs, BaseModel(base, 1.0, 1, 2, truncated=False))


def pruned(sparsity: float) -> GraphModel:
    model = build_model("gnnnet", {"in_channels": 4, "out_channels": 2})
    return compress(model, Structured(sparsity), example=(random_task().batch("test"),)).model


def test_a_model_that_shrank_as_asked_is_fine() -> None:
    assert list(really_shrunk(runs_of([pruned(0.8), pruned(0.8)], 0.8))) == []


@pytest.mark.parametrize("achieved", [0.75, 0.83])
def test_a_model_that_shrank_by_another_share_fails(achieved: float) -> None:
    findings = [f for f in really_shrunk(runs_of([pruned(0.8), pruned(achieved)], 0.8)) if f.status == FAIL]
    assert len(findings) == 1
    assert findings[0].sentence.startswith("bbbp.gnnnet.structured.s0.8: remaining weights are 0.")
    assert findings[0].sentence.endswith("0.2 at most were asked for, allowed is 0.01 less (seed 1)")


def test_zeros_in_a_matrix_are_no_shrinkage() -> None:
    model = build_model("gnnnet", {"in_channels": 4, "out_channels": 2})
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    sentences = [finding.sentence for finding in really_shrunk(runs_of([model], 0.5, shrunk=0)) if finding.sentence]
    assert [sentence.partition(": ")[2] for sentence in sentences] == [
        "remaining weights are 1 of the dense model's, 0.5 at most were asked for, allowed is 0.01 less (seed 0)",
        "0 tensors shrank and 0 have a mask; some have to shrink, and no mask is left (seed 0)",
    ]
