"""The suite, run as a user runs it, in a process of its own, and what came of it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gnn.leftovers import temporary_folder

ROOT = Path(__file__).parents[2]
FAULTS = "tests.suite.faults"
# What a run of pytest that finished may end with: all passed, or some failed.
FINISHED = (0, 1)


@dataclass(frozen=True)
class SuiteRun:
    """How a run ended, and its results as `--results` wrote them."""

    exit_status: int
    results: Mapping[str, Any]

    @property
    def is_red(self) -> bool:
        """Whether the gate, or anything else, failed the run."""
        return self.exit_status != 0

    def ratios(self) -> dict[str, float]:
        """`speedup.compression` by case."""
        return {record["id"]: record["speedup"]["compression"] for record in self.results["cases"]}

    def reasons(self, metric: str) -> list[str]:
        """What the gate said of a metric, improvements included."""
        gates = [record["gate"] for record in self.results["cases"]]
        sentences = [sentence for gate in gates for sentence in (*gate["reasons"], *gate["improvements"])]
        return [sentence for sentence in sentences if f": {metric} " in sentence]


def run_suite(*arguments: str, fault: str = "", draw: int = 0, empty_cache: bool = False) -> SuiteRun:
    """Run `pytest bench` with arguments, and with a fault of tests/suite/faults.py planted.

    From an empty cache everything is trained anew, which takes so long that the run's own progress is shown. Raises
    `RuntimeError` with the end of the output when the run did not finish.
    """
    plugin = ("-p", FAULTS) if fault else ()
    environment = {**os.environ, "GNN_FAULT": fault, "GNN_FAULT_DRAW": str(draw)}
    output = None if empty_cache else subprocess.PIPE
    with temporary_folder() as folder:
        results = folder / "results.json"
        if empty_cache:
            environment["GNN_CACHE"] = str(folder / "cache")
        command = (sys.executable, "-m", "pytest", "bench", *plugin, "--results", str(results), *arguments)
        done = subprocess.run(command, cwd=ROOT, env=environment, stdout=output, stderr=output, text=True, check=False)  # noqa: S603
        if done.returncode not in FINISHED or not results.exists():
            raise RuntimeError(
                f"{' '.join(command)} ended with {done.returncode}:\n{(done.stdout or '')[-2000:]}{done.stderr or ''}"
            )
        return SuiteRun(done.returncode, json.loads(results.read_text()))


def repeated(name: str, times: int, run: Callable[[int], SuiteRun]) -> Iterator[SuiteRun]:
    """So many runs, one after the other, with a line of progress for each."""
    start_s = time.monotonic()
    for number in range(times):
        done = run(number)
        left_s = (time.monotonic() - start_s) / (number + 1) * (times - number - 1)
        colour = "red" if done.is_red else "green"
        print(f"{name} {number + 1}/{times}: {colour}, about {left_s:.0f} s left", file=sys.stderr, flush=True)
        yield done
