"""Inference on graphs larger than memory: time and memory over the number of edges."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fixtures.session import BenchSession

SIZES = {"ci": (10**3, 10**4, 10**5, 10**6), "paper": (10**3, 10**4, 10**5, 10**6, 10**7)}
# Caches get too small and sources are read again for each block; squares would make a hundred times of it.
LINEAR_FROM, LINEAR_WITHIN = 10**5, 4.0
ROOT = Path(__file__).parents[1]
TOLERANCE = 1e-5
MODELS = ("GCNConv", "SAGEConv")


@pytest.mark.profiles("ci", "paper")
@pytest.mark.parametrize("model", MODELS)
def test_scaling(
    model: str,
    pytestconfig: pytest.Config,
    bench_session: BenchSession,
    record_property: Callable[[str, object], None],
) -> None:
    """Blocks of nodes keep to the memory limit, and their time grows with the edges."""
    limit = pytestconfig.option.memory_limit * 2**20
    with bench_session.machine_lock.exclusive(f"measuring {model} on large graphs"):
        found = measured(model, limit, SIZES[bench_session.profile])
    for one in found:
        record_property("scaling", {"model": model, "memory_limit": limit, **one})
    reasons = faults(model, limit, found)
    if reasons and bench_session.gate != "report":
        pytest.fail("\n".join(reasons), pytrace=False)


def measured(model: str, limit: int, sizes: tuple[int, ...]) -> list[dict[str, Any]]:
    """What `bench.scaling` finds in a fresh process, where no other test has left its memory."""
    command = [sys.executable, "-X", "faulthandler", "-m", "bench.scaling", model, str(limit), *map(str, sizes)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)  # noqa: S603
    if answer.returncode:
        pytest.fail(ending(model, answer.returncode, answer.stderr), pytrace=False)
    return json.loads(answer.stdout)


def ending(model: str, status: int, said: str) -> str:
    """How a process ended that did not give what it was asked for; one that was killed says nothing itself."""
    how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
    return f"{model} on large graphs {how}: {said.strip() or 'it said nothing; SIGKILL is often for lack of memory'}"


def faults(model: str, limit: int, found: list[dict[str, Any]]) -> list[str]:
    """Whatever is wrong: memory beyond the limit, another result, or time that grows faster than the edges."""
    reasons = []
    per_edge = {one["edges"]: one["cpu_s"] / one["edges"] for one in found}
    for one in found:
        what = f"{model} on {one['edges']:,} edges"
        if one["peak_bytes"] is not None and one["peak_bytes"] > limit:
            reasons.append(f"{what}: {one['peak_bytes']} bytes were taken, and --memory-limit is {limit}")
        # A NaN is no agreement either.
        if one["error"] is not None and not one["error"] <= TOLERANCE:
            reasons.append(f"{what}: blocks differ from the whole by {one['error']:.3g}, at most {TOLERANCE} is right")
        growth = per_edge[one["edges"]] / per_edge[LINEAR_FROM]
        if one["edges"] > LINEAR_FROM and growth > LINEAR_WITHIN:
            reasons.append(
                f"{what}: an edge takes {growth:.2f} times as long as of {LINEAR_FROM:,}, at most {LINEAR_WITHIN:g} "
                "was expected"
            )
    return reasons
