"""Inference on planted graphs of growing size, in a fresh process: python -m bench.scaling MODEL LIMIT EDGES..."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from gnn.errors import GnnError
from gnn.leftovers import temporary_folder
from gnn.runtime import compile as compile_module
from gnn.runtime import infer_in_blocks
from gnn.runtime.blocks.run import give_back

CHANNELS, HIDDEN, CLASSES = 32, 64, 8
EDGES_PER_NODE, HOMOPHILY = 10, 0.8
PLANTED_AT_ONCE = 2**20
# Up to so many edges the module itself says what is right, and up to so many a time is the least of some.
COMPARED_EDGES, REPEATED_EDGES, ROUNDS = 10**6, 10**5, 3
STATUS, CLEAR_REFS = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class NodeNet(nn.Module):
    """Three convolutions of one kind as a user writes them."""

    def __init__(self, convolution: Callable[[int, int], nn.Module]) -> None:
        super().__init__()
        widths = ((CHANNELS, HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, CLASSES))
        self.first, self.second, self.last = (convolution(*width) for width in widths)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Logits of nodes."""
        hidden = functional.relu(self.first(x, edge_index))
        hidden = functional.relu(self.second(hidden, edge_index))
        return self.last(hidden, edge_index)


def build(model: str) -> nn.Module:
    """A compiled net of PyG's convolutions of this name."""
    from torch_geometric import nn as pyg  # noqa: PLC0415  (it takes seconds)

    torch.manual_seed(0)
    return compile_module(NodeNet(getattr(pyg, model)))


def plant_on_disk(folder: Path, edges: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Features and edges of a planted graph as memory maps, made in little memory.

    A node's class is its number modulo the classes, and moves the feature of that number. Degrees fall as Cora's: the
    share of targets with more than d neighbours as d^-2. The source of most edges is of the target's class.
    """
    nodes, random = edges // EDGES_PER_NODE, np.random.default_rng(0)
    whole = nodes - nodes % CLASSES
    edge_index = np.lib.format.open_memmap(folder / "edges.npy", "w+", np.int64, (2, edges))
    for first in range(0, edges, PLANTED_AT_ONCE):
        count = min(PLANTED_AT_ONCE, edges - first)
        target = (whole * random.random(count) ** 2).astype(np.int64)
        source = random.integers(0, whole, count)
        source = np.where(random.random(count) < HOMOPHILY, source - source % CLASSES + target % CLASSES, source)
        edge_index[:, first : first + count] = source, target
    features = np.lib.format.open_memmap(folder / "features.npy", "w+", np.float32, (nodes, CHANNELS))
    for first in range(0, nodes, PLANTED_AT_ONCE // CHANNELS):
        rows = features[first : first + PLANTED_AT_ONCE // CHANNELS]
        rows[:] = random.standard_normal(rows.shape, np.float32)
        rows[np.arange(len(rows)), np.arange(first, first + len(rows)) % CLASSES] += 1
    del features, edge_index
    return np.load(folder / "features.npy", mmap_mode="r"), np.load(folder / "edges.npy", mmap_mode="r")


def measure(model: str, limit: int, sizes: list[int]) -> list[dict[str, Any]]:
    """CPU seconds and peak memory of inference in blocks of nodes on planted graphs of so many edges, in this order.

    The peak is the highest resident memory minus what was resident at the start; None where the system does not tell.
    `error` is the largest difference to what the compiled module gives for the whole graph, over its largest number;
    None where the graph is too large for that.
    """
    torch.set_num_threads(1)
    compiled = build(model)
    with temporary_folder() as folder:
        # Libraries set themselves up in the first run.
        measure_one(compiled, limit, sizes[0], folder)
        found = [measure_one(compiled, limit, edges, folder) for edges in sizes]
        for one in found:
            # Only now, since a run of the whole graph leaves free memory behind that the next one would fill unseen.
            of_graph = folder / str(one["edges"])
            one["error"] = error_of(compiled, of_graph) if one["edges"] <= COMPARED_EDGES else None
    return found


def measure_one(compiled: nn.Module, limit: int, edges: int, folder: Path) -> dict[str, Any]:
    """The same on one graph, without the error; the graph and the result stay in a folder."""
    folder /= str(edges)
    folder.mkdir(exist_ok=True)
    x, edge_index = plant_on_disk(folder, edges)
    give_back()
    _forget_the_peak()
    before, seconds = _status_bytes("VmRSS"), []
    for _ in range(ROUNDS if edges <= REPEATED_EDGES else 1):
        start = time.process_time()
        infer_in_blocks(compiled, x, edge_index, memory_limit=limit, output=folder / "out.npy")
        seconds.append(time.process_time() - start)
    peak = _status_bytes("VmHWM")
    peak = None if peak is None or before is None else peak - before
    return {"nodes": len(x), "edges": edges, "cpu_s": min(seconds), "peak_bytes": peak}


@torch.no_grad()
def error_of(compiled: nn.Module, folder: Path) -> float:
    """The largest difference between blocks and the whole graph, over the largest number."""
    x, edge_index, rows = (torch.from_numpy(np.load(folder / f"{name}.npy")) for name in ("features", "edges", "out"))
    whole = compiled(x, edge_index)
    return float((rows - whole).abs().max() / whole.abs().max())


def _forget_the_peak() -> None:
    # Where it cannot be forgotten it is that of a smaller graph until a larger one exceeds it.
    if STATUS.exists():
        try:
            CLEAR_REFS.write_text("5")
        except OSError:
            return


def _status_bytes(name: str) -> int | None:
    return 1024 * int(STATUS.read_text().split(f"{name}:")[1].split()[0]) if STATUS.exists() else None


if __name__ == "__main__":
    try:
        print(json.dumps(measure(sys.argv[1], int(sys.argv[2]), list(map(int, sys.argv[3:])))))
    except GnnError as error:
        sys.exit(str(error))
