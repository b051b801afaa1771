"""Faults to plant in a run of the suite: a pytest plugin that breaks what GNN_FAULT names.

Its words are faults for every case, such as `slow_runtime`, or for one, such as `forget_usage@cora-node.spline.dense`.
"""

import os
import signal
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import gnn.storage.state_streams
import gnn.trial
from gnn.case import Case
from gnn.compression import TrainingContext
from gnn.models import GraphModel
from gnn.runtime.own_layers import SplineProduct


def reinitialise_weight(patch: pytest.MonkeyPatch) -> None:
    """Draw the first layer's weights anew after fine-tuning, as a bad merge of two checkpoints would."""
    fine_tune_once = gnn.trial.fine_tune_once

    def broken(training: TrainingContext, model: GraphModel, *arguments: Any) -> Any:  # noqa: ANN401
        fitted = fine_tune_once(training, model, *arguments)
        torch.nn.init.uniform_(model.get_parameter("conv1.weight"), -0.02, 0.02)
        return fitted

    patch.setattr(gnn.trial, "fine_tune_once", broken)


def add_dense_tensor(patch: pytest.MonkeyPatch) -> None:
    """Leave every tensor dense in the file, zeros and all, as a writer that forgot its mask would."""
    patch.setattr(gnn.storage.state_streams, "kept_elements", lambda elements: np.ones(len(elements), dtype=bool))


def damage_baseline(patch: pytest.MonkeyPatch) -> None:
    """Make every snapshot read as half a file."""
    read_text = Path.read_text

    def broken(path: Path, *arguments: Any, **keywords: Any) -> str:  # noqa: ANN401
        text = read_text(path, *arguments, **keywords)
        return text[: len(text) // 2] if path.parent.name == "snapshots" else text

    patch.setattr(Path, "read_text", broken)


def forget_baseline(patch: pytest.MonkeyPatch) -> None:
    """Find no snapshot at all, as for a case that is new."""
    patch.setattr("fixtures.baseline.BaselineFile.read", lambda _: None)


def disagreeing_runtime(patch: pytest.MonkeyPatch) -> None:
    """Let the kernels of SplineNet give logits that are off by a thousandth."""
    infer = SplineProduct.forward
    patch.setattr(SplineProduct, "forward", lambda kernel, *inputs: infer(kernel, *inputs) * 1.001)


def slow_runtime(patch: pytest.MonkeyPatch) -> None:
    """Let every inference take about 5% longer; what comes of it is a measurement, so it is tried by hand."""
    infer = SplineProduct.forward

    def broken(kernel: SplineProduct, *inputs: Any) -> torch.Tensor:  # noqa: ANN401
        for _ in range(2):
            inputs[1].column.sum()
        return infer(kernel, *inputs)

    patch.setattr(SplineProduct, "forward", broken)


def slow_compressed(patch: pytest.MonkeyPatch) -> None:
    """Let the compressed side of every comparison take 5% longer than it does, the dense side not."""
    from fixtures.measurement import Inferences  # noqa: PLC0415  (pytest has to import its plugins first)

    pairs = Inferences.pairs

    def slower(infer: Callable[[], object]) -> Callable[[], object]:
        def call() -> object:
            start_s = time.perf_counter()
            result = infer()
            end_s = start_s + 1.05 * (time.perf_counter() - start_s)
            while time.perf_counter() < end_s:
                pass
            return result

        return call

    def broken(inferences: Inferences, ratio: str, placements: int) -> list[Any]:
        found = pairs(inferences, ratio, placements)
        return [(first, slower(second)) for first, second in found] if ratio == "compression" else found

    patch.setattr(Inferences, "pairs", broken)


def lose_a_point(patch: pytest.MonkeyPatch) -> None:
    """Answer each node with the next class with a probability that costs SplineNet one point of accuracy on average.

    Which nodes it hits depends on GNN_FAULT_DRAW and on the seed.
    """
    ship = gnn.trial.ship
    generator = torch.Generator().manual_seed(int(os.environ.get("GNN_FAULT_DRAW", "0")))

    def broken(model: GraphModel, case: Case) -> Any:  # noqa: ANN401
        shipped: tuple[Any, Any] = ship(model, case)
        loaded, file = shipped
        outputs = loaded.outputs

        def wrong(*arguments: Any) -> torch.Tensor:  # noqa: ANN401
            logits = outputs(*arguments).clone()
            hit = torch.rand(len(logits), generator=generator) < 0.01 / 0.89
            logits[hit] = logits[hit].roll(1, dims=1)
            return logits

        patch.setattr(loaded, "outputs", wrong, raising=False)
        return loaded, file

    patch.setattr(gnn.trial, "ship", broken)


def forget_usage(patch: pytest.MonkeyPatch) -> None:
    """Measure no processor use of inference, as on a system that does not tell."""
    from fixtures import resources  # noqa: PLC0415

    measure = resources.measure_processor_use

    def forgetful(function: Callable[[], object], **of_training: float) -> resources.ProcessorUse:
        return measure(function, **of_training) if of_training else resources.ProcessorUse(None, window_s=0.25)

    patch.setattr(resources, "measure_processor_use", forgetful)


def before_record(patch: pytest.MonkeyPatch, act: Callable[[], object]) -> None:
    """Do something when a case has been measured and nobody knows of it yet."""
    from fixtures import gate  # noqa: PLC0415

    build_record = gate.build_record

    def broken(*arguments: Any) -> Any:  # noqa: ANN401
        act()
        return build_record(*arguments)

    patch.setattr(gate, "build_record", broken)


def crash_worker(patch: pytest.MonkeyPatch) -> None:
    """End the process without a word in the middle of a case."""
    before_record(patch, lambda: os.kill(os.getpid(), signal.SIGKILL))


def hang(patch: pytest.MonkeyPatch) -> None:
    """Touch the file GNN_FAULT_SIGN in the middle of a case and go no further."""

    def wait() -> None:
        Path(os.environ["GNN_FAULT_SIGN"]).touch()
        time.sleep(600)

    before_record(patch, wait)


def forbid_gpus(patch: pytest.MonkeyPatch) -> None:
    """Fail whoever asks PyTorch or NVML for GPUs, as nobody may in a run on the processor."""

    def asked(*_: object, **__: object) -> None:
        raise AssertionError("a GPU was asked for")

    for name in ("is_available", "device_count", "current_device", "get_device_properties", "init", "synchronize"):
        patch.setattr(torch.cuda, name, asked)
    patch.setattr("pynvml.nvmlInit", asked)


def hurry(patch: pytest.MonkeyPatch) -> None:
    """Compare latencies and train as briefly as possible; such ratios say nothing, so no rule is asked about them."""
    from fixtures import measurement  # noqa: PLC0415
    from fixtures.thresholds import Threshold  # noqa: PLC0415

    brief = measurement.BlockProtocol(warm_ups=0, calls=1, minimum_blocks=6, maximum_blocks=6)
    patch.setattr("fixtures.resources.TRAINING_WINDOW_S", 0.01)
    patch.setattr(measurement, "FIRST_LOOK", dict.fromkeys(measurement.RATIOS, brief))
    patch.setattr("fixtures.timing_baseline.TimingBaseline.findings", lambda *_: [])
    check = Threshold.check

    def lenient(threshold: Threshold, *arguments: Any) -> Any:  # noqa: ANN401
        return [] if threshold.metric.startswith("speedup.") else check(threshold, *arguments)

    patch.setattr(Threshold, "check", lenient)


def invent_memory(patch: pytest.MonkeyPatch) -> None:
    """Spare the server of processes in which memory is measured."""
    from fixtures.memory_alone import MemoryAlone  # noqa: PLC0415

    measured = MemoryAlone(peak_rss_bytes=2, before_bytes=1, reason=None)
    for name in ("measure", "measure_training"):
        patch.setattr(f"fixtures.memory_alone.MemoryMeter.{name}", lambda *_, **__: measured)


FAULTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    plant.__name__: plant
    for plant in (
        reinitialise_weight,
        add_dense_tensor,
        crash_worker,
        damage_baseline,
        disagreeing_runtime,
        forbid_gpus,
        forget_baseline,
        forget_usage,
        hang,
        hurry,
        invent_memory,
        lose_a_point,
        slow_compressed,
        slow_runtime,
    )
}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Plant what is meant for this case, and take it away when the case has ended."""
    with pytest.MonkeyPatch.context() as patch:
        for word in os.environ["GNN_FAULT"].split():
            fault, _, case = word.partition("@")
            if not case or item.name.endswith(f"[{case}]"):
                FAULTS[fault](patch)
        return (yield)
