"""Models go through methods, storage and runtime on another device than the processor."""

import copy
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import bench.yardsticks  # noqa: F401  (registers its inferences)
from fixtures.inferences import EAGER, REFERENCE
from gnn.case import Case
from gnn.compression import (
    A2q,
    CompressionSettings,
    DegreeQuant,
    Dense,
    PostTraining,
    compress,
)
from gnn.compression.retraining import fine_tune_once
from gnn.runtime import compile_inference
from gnn.shipped import ship
from gnn.storage import dense_size_bytes
from gnn.training import evaluate, fit
from gnn.training_settings import TrainingSettings
from tests.gnn.pretended_gpu import GPU
from tests.gnn.toy_quantization import initial_model, task_for, tasks_of_every_kind, toy_context
from tests.gnn.toy_training import EVERY_METHOD

TASKS = {"node-classification": "cora-node", "link-prediction": "cora-link", "graph-classification": "proteins"}
BY_DEGREE_AND_GROUP = (DegreeQuant(4, tracking="percentile"), A2q())
CASES = (
    *(("spline", method) for method in EVERY_METHOD),
    *(("gin", method) for method in BY_DEGREE_AND_GROUP),
    *((name, PostTraining(8)) for name in ("gin", "hgpsl", "ness", "supergat-readout")),
    # Its maximum over nodes asks for a plain tensor, and on integers it has no other way.
    ("gnnnet", Dense()),
)
ONE_EPOCH = TrainingSettings(0.01, 1e-3, epochs=1, patience=1, batch_size=16)


def faults() -> Iterator[str]:
    """What goes wrong, by model and method."""
    for name, method in CASES:
        try:
            run_on_gpu(name, method)
        except Exception as error:
            yield f"{name} {method.method}: {type(error).__name__}: {error}"


def run_on_gpu(name: str, method: CompressionSettings) -> None:
    """Train, compress, fine-tune, store, evaluate and compile a model there."""
    task = task_for(name, tasks_of_every_kind()).to(GPU)
    with TemporaryDirectory() as folder:
        context = replace(
            toy_context(name, task, Path(folder), ONE_EPOCH),
            initial=lambda _seed=None: initial_model(name, task).to(GPU),
            remember=lambda _what, build: build(),
        )
        model = context.initial()
        fit(model, task, ONE_EPOCH, 0)
        found = compress(model, method, context)
        if found.masks.kept:
            fine_tune_once(context, found.model, found.masks, ONE_EPOCH, method)
        loaded, _ = ship(found.model, Case(TASKS[task.kind], name, method))
        assert dense_size_bytes(found.model) == dense_size_bytes(copy.deepcopy(found.model).cpu())
        assert evaluate(loaded, task).score == evaluate(found.model, task).score
        inferences = [compile_inference(found.model, task)]
        if isinstance(method, Dense | PostTraining):
            inferences += [made[name](model, task) for made in (EAGER, REFERENCE) if name in made]
        for infer in inferences:
            assert str(infer().device) == GPU, f"its outputs are on {infer().device}"


PROGRAM = """
from tests.gnn.pretended_gpu import plug_in
kept = plug_in()
from tests.gnn.test_other_device import faults
for fault in faults():
    print(fault, flush=True)
print("all done")
"""


def test_models_and_methods_do_not_leave_their_device() -> None:
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM]
    found = subprocess.run(command, check=False, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert found.stdout.splitlines() == ["all done"], found.stdout + found.stderr[-2000:]
