"""Which of several kernels that give the same is the fastest here: measured once and kept on disk."""

import json
import time
from collections.abc import Callable, Hashable, Mapping
from functools import lru_cache
from pathlib import Path

import torch

from gnn.atomic_file import write_atomically
from gnn.environment import cpu_name, environment
from gnn.native.library import cache_folder, library, wanted

ROUNDS = 7
# A measurement lasts at least so long, or a clock's tick would decide.
LEAST_S = 5e-5
NATIVE, SPARSE = "native", "sparse"
PREFERRED = {"torch": (), NATIVE: (NATIVE,), SPARSE: (SPARSE, NATIVE)}


def fastest(key: tuple[Hashable, ...], ways: Mapping[str, Callable[[], object]]) -> str:
    """The name of the fastest way of computing something; the first call for a key measures, later ones look it up.

    Args:
        key: What is computed, and its class of shapes; the number of threads is added.
        ways: Calls that give the same, by name, PyTorch's own first. Those named "native", or "sparse" where they read
            only what is not zero of a weight, are kernels of this library.

    Returns:
        The way that `GNN_KERNELS` asks for or the next best to it, else the one with the least time.
    """
    if len(ways) == 1:
        return next(iter(ways))
    if (want := wanted()) != "fastest":
        return next((name for name in PREFERRED[want] if name in ways), next(iter(ways)))
    text = " ".join(map(str, (*key, torch.get_num_threads())))
    known = _known()
    if known.get(text) not in ways:
        known[text] = _measured(ways)
        _keep(known)
    return known[text]


def rows_class(rows: int) -> int:
    """The class of a number of rows: all between two powers of four are alike."""
    return rows.bit_length() // 2


def _measured(ways: Mapping[str, Callable[[], object]]) -> str:
    least = dict.fromkeys(ways, float("inf"))
    for _ in range(ROUNDS):
        for name, way in ways.items():
            calls, start = 0, time.perf_counter()
            while not calls or time.perf_counter() - start < LEAST_S:
                way()
                calls += 1
            least[name] = min(least[name], (time.perf_counter() - start) / calls)
    return min(least, key=least.__getitem__)


@lru_cache
def _file() -> Path:
    machine = "-".join((cpu_name(), *environment().values(), "" if library() is None else NATIVE))
    return cache_folder() / f"fastest-{''.join(c if c.isalnum() or c in '.+-' else '_' for c in machine)}.json"


@lru_cache
def _known() -> dict[str, str]:
    try:
        return dict(json.loads(_file().read_text()))
    except (OSError, ValueError):
        return {}


def _keep(known: dict[str, str]) -> None:
    try:
        write_atomically(_file(), json.dumps(known, indent=1, sort_keys=True).encode())
    except OSError:
        # Measured anew by the next process.
        return
