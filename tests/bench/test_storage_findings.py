"""A file that grew, or that holds another model than the reported one, is red."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bench.findings import file_as_reported
from fixtures.findings import FAIL
from gnn import storage
from gnn.case import Case
from gnn.compression import Dense
from gnn.models import GraphModel, build_model
from gnn.trial import Run
from tests.fixtures.conftest import made_up_run

CASE = Case("cora-node", "spline", Dense(), precision="int8")


@pytest.fixture
def run(tmp_path: Path) -> Run:
    torch.manual_seed(0)
    built = build_model("spline", {"in_channels": 300, "out_channels": 3, "hidden_channels": 8})
    encoded = storage.save(built, tmp_path / "m", model_name="spline", task="cora-node", precision="int8")
    model = storage.load(tmp_path / "m").model
    run = made_up_run(4, 0.9, 0.9, model)
    return replace(run, size_bytes=replace(run.size_bytes, payload=encoded, overhead=0))


def failures(run: Run) -> list[str]:
    return [finding.sentence for finding in file_as_reported(CASE, run) if finding.status == FAIL]


def test_a_file_that_is_as_reported_is_fine(run: Run) -> None:
    assert failures(run) == []


def test_another_size_than_the_reported_one_fails(run: Run) -> None:
    sizes = replace(run.size_bytes, overhead=-1)
    (sentence,) = failures(replace(run, size_bytes=sizes))
    assert sentence.endswith(f"bytes, {run.size_bytes.encoded - 1} are reported (seed 4)")


def test_a_model_that_no_file_gives_back_fails(run: Run) -> None:
    model: GraphModel = run.model
    with torch.no_grad():
        model.get_parameter("conv1.weight")[0, 0, 0] *= 1.001
    sentence = "cora-node.spline.dense.stored-int8: the file does not hold the reported conv1.weight (seed 4)"
    assert sentence in failures(run)
