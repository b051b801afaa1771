"""What is timed is what it says: the base model three times, and the model that was shipped."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, cast

import pytest
import torch

from bench import inferences as module
from bench.inferences import inferences
from fixtures.artifacts import CaseRuns
from gnn.case import Case
from gnn.compression import Dense
from gnn.models import MODELS, GraphModel, build_model_for
from gnn.tasks import Task
from gnn.trial import BaseModel
from tests.bench.test_quantization_findings import on_integers
from tests.fixtures.conftest import made_up_run, small_task
from tests.gnn.five_models import random_model, small_tasks

TASKS = small_tasks()


@dataclass(frozen=True)
class Timed:
    """Stands for an inference: what was compiled, and for which model and task."""

    how: str
    model: object
    task: Task


def compiler(how: str) -> Callable[[Any, Task], Timed]:
    return lambda model, task: Timed(how, model, task)


@pytest.fixture
def runs() -> CaseRuns:
    task = replace(small_task(), name="planted-cora-node")
    base, shipped, other = (build_model_for("spline", task) for _ in range(3))
    shipped_runs = (made_up_run(0, 0.9, 0.9, shipped), made_up_run(1, 0.9, 0.9, other))
    return CaseRuns(
        Case("planted-cora-node", "spline", Dense()), task, shipped_runs, BaseModel(base, 1.0, 2, 3, truncated=False)
    )


@pytest.fixture
def compared(runs: CaseRuns) -> Iterator[CaseRuns]:
    """The same case of a model that has no runtime of ours."""
    with MODELS.temporarily("compared", MODELS["spline"]):
        yield replace(runs, case=Case("planted-cora-node", "compared", Dense()))


def test_a_compressed_model_is_compared_with_its_base_model(runs: CaseRuns, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(module.EAGER, "spline", compiler("eager"))
    monkeypatch.setitem(module.REFERENCE, "spline", compiler("reference"))
    monkeypatch.setattr(module, "compile_inference", Timed)
    found = inferences(runs)
    base, task = runs.base.model, runs.task
    assert found.dense_model == "planted-cora-node.spline"
    assert found.eager == Timed("eager", base, task)
    assert found.reference == Timed("reference", base, task)
    assert found.dense == Timed("spline", base, task)
    assert found.compressed == Timed("spline", runs.runs[0].model, task)


def test_a_pair_that_is_prepared_anew_has_the_same_weights_elsewhere(
    runs: CaseRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where weights lie in memory changes a latency, and some runtimes use them where the model has them."""
    monkeypatch.setattr(module, "compile_inference", Timed)
    found = inferences(runs)
    assert found.compile_pair is not None
    for timed, model in zip(found.compile_pair(), (runs.base.model, runs.runs[0].model), strict=True):
        copied = cast(Timed, timed)
        assert (copied.how, copied.task) == ("spline", runs.task)
        for name, tensor in cast(GraphModel, copied.model).state_dict().items():
            assert torch.equal(tensor, model.state_dict()[name])
            assert tensor.data_ptr() != model.state_dict()[name].data_ptr()


@pytest.mark.parametrize("quantized", [False, True])
def test_a_pair_that_is_prepared_anew_computes_the_same(quantized: bool) -> None:
    base = random_model("gnnnet", TASKS["gnnnet"])
    shipped = on_integers(random_model("gnnnet", TASKS["gnnnet"])) if quantized else base
    run = made_up_run(0, 0.9, 0.9, shipped)
    case = Case("bbbp", "gnnnet", Dense())
    found = inferences(CaseRuns(case, TASKS["gnnnet"], (run,), BaseModel(base, 1.0, 2, 3, truncated=False)))
    assert found.dense is not None
    assert found.compile_pair is not None
    dense, compressed = found.compile_pair()
    assert torch.equal(dense(), found.dense())
    assert torch.equal(compressed(), found.compressed())


def test_a_compared_model_is_only_timed_as_it_came_back_from_its_file(compared: CaseRuns) -> None:
    found = inferences(compared)
    assert found.dense_model == "planted-cora-node.compared"
    assert (found.eager, found.reference, found.dense, found.compile_pair) == (None, None, None, None)
    model, task = compared.runs[0].model.eval(), compared.task
    with torch.no_grad():
        expected = model.outputs(task, model.prepare(task), "test")
    assert torch.equal(found.compressed(), expected)


@pytest.mark.parametrize("name", TASKS)
def test_a_runtime_says_what_its_model_says(name: str) -> None:
    task = TASKS[name]
    model = random_model(name, task)
    inference = module.compile_inference(name, model, task)
    assert module.runtime_difference(inference, model, task) < 1e-5
    assert module.runtime_difference(lambda: inference() * 1.001, model, task) > 5e-4
    assert module.runtime_difference(lambda: inference() * torch.nan, model, task) > 1e29
