"""What is timed is what it says: the base model three times, and the model that was shipped."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch

from bench import inferences as module
from bench.inferences import inferences
from fixtures.artifacts import CaseRuns
from gnn.case import Case
from gnn.compression import Dense
from gnn.models import build_model_for
from gnn.tasks import Task
from gnn.trial import BaseModel
from tests.bench.test_quantization_findings import on_integers
from tests.fixtures.conftest import made_up_run, small_task
from tests.gnn.five_models import random_model, small_tasks

TASKS = small_tasks()


@dataclass(frozen=True)
class Timed:
    """Stands for an inference: of what kind it is, and of which model and task."""

    how: str
    model: object
    task: Task


def of_kind(how: str) -> Callable[[Any, Task], Timed]:
    return lambda model, task: Timed(how, model, task)


@pytest.fixture
def runs() -> CaseRuns:
    task = replace(small_task(), name="planted-cora-node")
    base, shipped, other = (build_model_for("spline", task) for _ in range(3))
    shipped_runs = (made_up_run(0, 0.9, 0.9, shipped), made_up_run(1, 0.9, 0.9, other))
    return CaseRuns(
        Case("planted-cora-node", "spline", Dense()), task, shipped_runs, BaseModel(base, 1.0, 2, 3, truncated=False)
    )


@pytest.mark.parametrize("has_yardsticks", [True, False])
def test_a_compressed_model_is_compared_with_its_base_model(
    runs: CaseRuns, has_yardsticks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "EAGER", {"spline": of_kind("eager")} if has_yardsticks else {})
    monkeypatch.setattr(module, "REFERENCE", {"spline": of_kind("reference")} if has_yardsticks else {})
    monkeypatch.setattr(module, "model_inference", of_kind("own"))
    monkeypatch.setattr(module, "compile_inference", of_kind("compiled"))
    found = inferences(runs)
    base, shipped, task = runs.base.model, runs.runs[0].model, runs.task
    assert found.dense_model == "planted-cora-node.spline"
    assert found.eager == Timed("eager" if has_yardsticks else "own", base, task)
    assert found.reference == (Timed("reference", base, task) if has_yardsticks else None)
    assert found.dense == Timed("compiled", base, task)
    assert found.compressed == Timed("compiled", shipped, task)
    assert found.compile_pair is not None
    assert found.compile_pair() == (found.dense, found.compressed)


@pytest.mark.parametrize("quantized", [False, True])
def test_a_pair_that_is_prepared_anew_computes_the_same(quantized: bool) -> None:
    base = random_model("gnnnet", TASKS["gnnnet"])
    shipped = on_integers(random_model("gnnnet", TASKS["gnnnet"])) if quantized else base
    run = made_up_run(0, 0.9, 0.9, shipped)
    case = Case("bbbp", "gnnnet", Dense())
    found = inferences(CaseRuns(case, TASKS["gnnnet"], (run,), BaseModel(base, 1.0, 2, 3, truncated=False)))
    assert found.compile_pair is not None
    dense, compressed = found.compile_pair()
    assert torch.equal(dense(), found.dense())
    assert torch.equal(compressed(), found.compressed())


@pytest.mark.parametrize("name", TASKS)
def test_a_runtime_says_what_its_model_says(name: str) -> None:
    task = TASKS[name]
    model = random_model(name, task)
    inference = module.compile_inference(model, task)
    assert module.runtime_difference(inference, model, task) < 1e-5
    assert module.runtime_difference(lambda: inference() * 1.001, model, task) > 5e-4
    assert module.runtime_difference(lambda: inference() * torch.nan, model, task) > 1e29
