"""What a training step takes in memory, asked in a fresh process: python -m bench.peak_memory ARCHITECTURE FILE."""

import sys
from pathlib import Path

import psutil
import torch
from torch.nn import functional

from bench.yardsticks.hgpsl import EagerHgpSlNet
from gnn.models.hgpsl import HgpSlNet, HgpSlSettings
from gnn.tasks import GraphBatch, GraphCollection

ARCHITECTURES = {"sparse": HgpSlNet, "dense": EagerHgpSlNet}
WARM_UP_GRAPHS = 2


def step(model: HgpSlNet, batch: GraphBatch) -> None:
    """Forward and backward."""
    functional.cross_entropy(model(batch), batch.labels).backward()


def step_bytes(architecture: str, file: Path) -> int:
    """Highest resident memory in a step over all graphs in the file, minus what was resident just before.

    Raises `RuntimeError` when the process had once been larger than the step made it, so that nothing was seen.
    """
    torch.set_num_threads(1)
    torch.manual_seed(0)
    collection = GraphCollection(**torch.load(file, weights_only=True))
    settings = HgpSlSettings(collection.features.shape[1], int(collection.labels.max()) + 1)
    model = ARCHITECTURES[architecture](settings)
    # Libraries set themselves up in the first step.
    step(model, collection.select(torch.arange(WARM_UP_GRAPHS)))
    batch = collection.select(torch.arange(len(collection.labels)))
    before, peak_before = psutil.Process().memory_info().rss, _highest_resident_bytes()
    step(model, batch)
    peak = _highest_resident_bytes()
    if peak == peak_before:
        raise RuntimeError("the step took less memory than the process had at its start; measure a larger batch")
    return peak - before


def _highest_resident_bytes() -> int:
    # getrusage also counts what the parent held when it started this process.
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


if __name__ == "__main__":
    print(step_bytes(sys.argv[1], Path(sys.argv[2])))
