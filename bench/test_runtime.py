"""How much faster models are on our runtime: over PyG eager, compressed over our own best FP32, and beside peers."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import pytest
from torch import nn

from bench.runtime.measuring import DENSE, Options, Row, measured
from bench.runtime.subject import Subject
from bench.runtime.subjects import BATCHES, TARGETS, Target
from bench.runtime.work import as_json, peaks, work_of
from fixtures.latency import BlockProtocol
from fixtures.session import BenchSession
from gnn.artifacts import Artifact
from gnn.compression import (
    Bf16,
    CompressionSettings,
    GlobalMagnitude,
    PostTraining,
    Structured,
    TrainingContext,
    compress,
)
from gnn.errors import GnnError
from gnn.models import MODELS
from gnn.tasks import Task

pytestmark = pytest.mark.profiles("ci", "paper")
METHODS: dict[str, CompressionSettings] = {
    "structured .5": Structured(0.5),
    "structured .8": Structured(0.8),
    "structured .9": Structured(0.9),
    "masks .9": GlobalMagnitude(0.9),
    "bf16": Bf16(),
    "INT8": PostTraining(8),
    "INT4": PostTraining(4),
}
# In less time eager, which is slow, is called once a block, and what comes after it finds an empty cache.
LONG = BlockProtocol(minimum_blocks=11, budget_s=1.5)
QUICK = Options(BlockProtocol(minimum_blocks=6, maximum_blocks=60, precision=0.02, budget_s=0.15), LONG)
THOROUGH = Options(LONG, LONG, expensive=True)
QUICK_BATCHES = ("1", "128")
# Of FP32: another order of sums. What rounds in between has bounds of its own in the cases.
SAME, ROUNDED = 1e-5, ("INT", "bf16")
# Two runs of one function differ by less.
NOT_SLOWER = 0.9


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_runtime(target: Target, bench_session: BenchSession, record_property: Callable[[str, object], None]) -> None:
    """Our FP32 is not slower than PyG eager and gives the same; how much faster, and what methods add, is shown."""
    task, paper = bench_session.run_context.task(target.task), bench_session.profile == "paper"
    with bench_session.machine_lock.shared(f"compressing {target.name}"):
        dense = target.dense(task)
        models = {name: compressed(target, dense, task, settings) for name, settings in METHODS.items()}
    whole = paper or target == TARGETS[0]
    faults: list[str] = []
    batches, quantized = tuple(BATCHES) if whole else QUICK_BATCHES, models["INT8"]
    integer = None if isinstance(quantized, str) else quantized
    for subject in target.on_batches(dense, task, batches, integer):
        with bench_session.machine_lock.exclusive(f"measuring {target.name}, {subject.what}"):
            rows = list(measured(subject, models, THOROUGH if paper else QUICK))
            found = described(subject, rows)
        record_property("runtime", found)
        faults += faults_of(subject, rows)
    assert not faults, "; ".join(faults)


def compressed(target: Target, dense: nn.Module, task: Task, settings: CompressionSettings) -> nn.Module | str:
    """The model as the method leaves it, without fine-tuning; or why it cannot."""
    try:
        if target.foreign:
            (subject,) = target.on_batches(dense, task, ("all",))
            return compress(dense, settings, example=subject.tensors).model
        entry = MODELS[target.model]
        context = TrainingContext(
            target.model, task, entry.recipe_for(task), 0, lambda *_: target.dense(task), remember=_built
        )
        return compress(dense, settings, context).model
    except GnnError as error:
        return str(error)


def _built(_what: object, build: Callable[[], Artifact]) -> Artifact:
    return build()


def described(subject: Subject, rows: list[Row]) -> dict[str, Any]:
    """What the results say of a subject: its rows, its work, and what this machine can do at most."""
    return {
        "model": subject.name,
        "batch": subject.batch,
        "what": subject.what,
        "work": as_json(work_of(subject.forward(subject.model))),
        "peaks": as_json(peaks()),
        "rows": [asdict(row) for row in rows],
    }


def faults_of(subject: Subject, rows: list[Row]) -> list[str]:
    """What every processor has to keep: FP32 gives the same, and is not slower than eager."""
    ours = [row for row in rows if not row.peer and row.over_fp32 is not None and not row.name.startswith(ROUNDED)]
    where = f"{subject.name} on {subject.what}"
    faults = [
        f"{row.name} of {where} is {row.difference:.2g} from the model's own forward pass, expected {SAME:g} at most"
        for row in ours
        if row.difference is None or not row.difference <= SAME
    ]
    dense = next(row for row in ours if row.name == DENSE)
    if dense.interval is None or dense.interval[1] < NOT_SLOWER:
        faults.append(f"{where} is {dense.over_eager:.2f} times as fast as PyG eager, expected {NOT_SLOWER:g} at least")
    return faults
