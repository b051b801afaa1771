"""torchao as a compared tool: what its eager INT8 makes of our dense classifiers of graphs, beside our FP32 runtime."""

import io
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from bench.peers.torchao import has_integers, quantized_copy
from fixtures.latency import BlockProtocol, compare_latency
from fixtures.session import BenchSession
from gnn.case import Case
from gnn.compression import Dense
from gnn.models import GraphModel
from gnn.runtime import compile_inference, model_inference
from gnn.tasks import Task
from gnn.training import evaluate
from gnn.trial import Trial

# Of 112 test graphs or more, it is two at least.
ACCURACY_WITHIN = 0.02
PROTOCOL = BlockProtocol(budget_s=2.0)
# Weights alone are turned back into FP32 in every call, and the product is one of FP32.
MULTIPLIES_INTEGERS = {"Int8DynamicActivationInt8WeightConfig": True, "Int8WeightOnlyConfig": False}


@dataclass(frozen=True)
class Subject:
    """A dense model, and how many matrices it has, all of which are weights of layers that torchao knows."""

    task: str
    model: str
    layers: int


SUBJECTS = (Subject("bbbp", "gin", 12), Subject("proteins", "gin", 12), Subject("bbbp", "gnnnet", 4))


@dataclass(frozen=True)
class Quantized:
    """How many layers a forward pass called with an INT8 weight, and how often it multiplied INT8 by INT8."""

    quantized_layers: int
    integer_products: int


class IntegerProducts(TorchDispatchMode):
    """Counts products of INT8 matrices, also those that are made inside of a tensor's own implementation."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        """Count, then do what was asked."""
        self.count += func is torch.ops.aten._int_mm.default
        return func(*args, **kwargs or {})


@pytest.mark.profiles("paper")
@pytest.mark.parametrize("config", MULTIPLIES_INTEGERS)
@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: f"{subject.task}.{subject.model}")
def test_torchao(
    subject: Subject, config: str, bench_session: BenchSession, record_property: Callable[[str, object], None]
) -> None:
    """It skips layers that it does not know without a word, so they are counted; speed and bytes are only shown."""
    pytest.importorskip("torchao", reason="torchao is not installed; pip install --no-deps torchao==0.18.0")
    run_context = bench_session.run_context
    case = Case(subject.task, subject.model, Dense()).on(run_context.sources[subject.task])
    task = run_context.task(subject.task)
    with bench_session.machine_lock.shared(f"training {case.id}, seed 0"):
        dense = Trial(case, 0, run_context).base.model
        theirs = quantized_copy(dense, config)
        quantized, facts = quantized_layers(theirs, task), facts_of(dense, theirs, task)
    with bench_session.machine_lock.exclusive(f"measuring torchao on {task.name}.{subject.model}"):
        timed = timed_against(dense, theirs, task)
    what = {"tool": "torchao", "config": config, "model": f"{task.name}.{subject.model}"}
    record_property("compared", {**what, "layers": subject.layers, **asdict(quantized), **facts, **timed})
    assert matrices(dense) == subject.layers
    assert quantized == Quantized(subject.layers, subject.layers if MULTIPLIES_INTEGERS[config] else 0)
    assert facts["accuracy"] == pytest.approx(facts["dense_accuracy"], abs=ACCURACY_WITHIN)


def quantized_layers(model: GraphModel, task: Task) -> Quantized:
    """What is really quantized: a layer whose weight is read without a call of it does not count."""
    called: set[str] = set()
    hooks = [
        layer.register_forward_pre_hook(lambda *_, name=name: called.add(name))
        for name, layer in model.named_modules()
        if isinstance(layer, nn.Linear) and has_integers(layer)
    ]
    with IntegerProducts() as products:
        model_inference(model, task)()
    for hook in hooks:
        hook.remove()
    return Quantized(len(called), products.count)


def matrices(model: GraphModel) -> int:
    """All weights that could have been quantized."""
    return sum(parameter.dim() >= 2 for parameter in model.parameters())


def facts_of(dense: GraphModel, theirs: GraphModel, task: Task) -> dict[str, float]:
    """Accuracy on the test part and bytes of the state, of both models."""
    return {
        "accuracy": evaluate(theirs, task).score,
        "dense_accuracy": evaluate(dense, task).score,
        "state_bytes": state_bytes(theirs),
        "dense_state_bytes": state_bytes(dense),
    }


def state_bytes(model: GraphModel) -> int:
    """What torch.save makes of the state."""
    stream = io.BytesIO()
    torch.save(model.state_dict(), stream)
    return len(stream.getvalue())


def timed_against(dense: GraphModel, theirs: GraphModel, task: Task) -> dict[str, float]:
    """Seconds of their forward pass, and how many times as fast it is as the same in FP32 and as our FP32 runtime."""
    inference = model_inference(theirs, task)
    forward = compare_latency([(model_inference(dense, task), inference)], PROTOCOL)
    runtime = compare_latency([(compile_inference(dense, task, deduplicate=False), inference)], PROTOCOL)
    return {"latency_s": runtime.second_s, "speedup_to_forward": forward.ratio, "speedup_to_runtime": runtime.ratio}
