"""The target models on a GPU: the same outputs as on the processor, timed by the device's own events."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch

from bench.matrix import TARGETS
from fixtures.clocks import clock_for
from fixtures.energy import EnergyMeter
from fixtures.latency import BlockProtocol, block_minima
from fixtures.memory import peak_cuda_bytes
from fixtures.session import BenchSession, cuda_devices
from gnn.case import Case
from gnn.compression import Dense
from gnn.models import GraphModel
from gnn.runtime import compile_inference
from gnn.tasks import Task
from gnn.trial import Trial

DEVICE = "cuda:0"
PROTOCOL = BlockProtocol(minimum_blocks=21, budget_s=2.0)
# Sums over neighbours come in another order on a GPU.
TOLERANCE = 1e-3
# A model that keeps nodes by their rank keeps another one where two scores are equal up to that order.
RANKED_OTHERWISE = 0.02


@pytest.mark.profiles("ci", "paper")
@pytest.mark.parametrize(("task_name", "model"), TARGETS, ids=[".".join(target) for target in TARGETS])
def test_on_a_gpu(
    task_name: str, model: str, bench_session: BenchSession, record_property: Callable[[str, object], None]
) -> None:
    """A model says on the GPU what it says on the processor; its latency, energy and memory there are shown."""
    count, said = cuda_devices()
    if not count:
        pytest.skip(f"needs a CUDA device, and PyTorch sees none on this machine{said}")
    run_context = bench_session.run_context
    case = Case(task_name, model, Dense()).on(run_context.sources[task_name])
    with bench_session.machine_lock.shared(f"training {case.id}, seed 0"):
        dense = Trial(case, 0, run_context).base.model.cpu()
    task = run_context.task(task_name).to("cpu")
    with bench_session.machine_lock.exclusive(f"measuring {case.id} on {DEVICE}"):
        record_property("cuda", measured_on(DEVICE, model, dense, task))


def measured_on(device: str, model_name: str, dense: GraphModel, task: Task) -> dict[str, Any]:
    """What one inference takes on a device, beside the processor; fails when the outputs differ."""
    here = compile_inference(dense, task, deduplicate=False)
    there = compile_inference(copy.deepcopy(dense).to(device), task.to(device), deduplicate=False)
    apart = share_apart(there().cpu(), here())
    assert apart <= RANKED_OTHERWISE, f"{apart:.1%} of the rows of {model_name} on {device} are not the processor's"
    energy = EnergyMeter(device=device).measure(there)
    return {
        "model": f"{task.name}.{model_name}",
        "rows_apart": apart,
        "device": torch.cuda.get_device_name(device) if device != "cpu" else device,
        "latency_s": block_minima(there, PROTOCOL, clock=clock_for(device)),
        "processor_latency_s": block_minima(here, PROTOCOL),
        "peak_bytes": peak_cuda_bytes(there, device),
        "energy_j": energy.value,
        "energy_source": energy.source,
    }


def share_apart(ours: torch.Tensor, expected: torch.Tensor) -> float:
    """The share of rows that differ by more than the tolerance; NaN differs from everything but NaN."""
    close = torch.isclose(ours, expected, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)
    return 1 - close.reshape(len(close), -1).all(dim=1).double().mean().item()
