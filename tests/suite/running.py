"""The suite in a process of its own on planted data, and what came of it."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Outcome:
    """How a run ended: its exit status, what it printed, its records by case, and what pytest-benchmark wrote."""

    status: int
    output: str
    records: dict[str, dict[str, Any]]
    results: Mapping[str, Any]
    benchmarks: Mapping[str, Any]


class Suite:
    """Runs the suite with a cache that the tests share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *arguments: str, fault: str = "") -> Outcome:
        """One run, with a fault of `tests.suite.faults` planted where one is named."""
        results, benchmarks = self.folder / "results.json", self.folder / "benchmarks.json"
        for path in (results, benchmarks):
            path.unlink(missing_ok=True)
        files = ["--results", str(results), "--benchmark-json", str(benchmarks)]
        plugin = ["-p", "tests.suite.faults"] if fault else []
        command = [sys.executable, "-m", "pytest", "bench", *plugin, "--data", "planted", *files]
        environment = {**os.environ, "GNN_CACHE": str(self.folder / "cache"), "GNN_FAULT": fault}
        # The suite under test is a run of its own, not a worker of the run that tests it.
        environment = {name: value for name, value in environment.items() if not name.startswith("PYTEST_")}
        done = subprocess.run(
            [*command, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=240
        )
        found = json.loads(results.read_text()) if results.exists() else {"cases": []}
        timed = json.loads(benchmarks.read_text()) if benchmarks.exists() else {"benchmarks": []}
        records = {record["id"]: record for record in found["cases"]}
        return Outcome(done.returncode, done.stdout + done.stderr, records, found, timed)


def complaints(record: dict[str, Any]) -> list[str]:
    """What the gate says, without latencies: how busy the machine is does not belong in a unit test."""
    return [reason for reason in record["gate"]["reasons"] if "speedup" not in reason]
