"""The suite in a process of its own on planted data, and what came of it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

ROOT = Path(__file__).parents[2]
# A shell starts background jobs with the signal ignored, and Python would inherit that.
RUN = (
    "import signal, sys, pytest; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "sys.exit(pytest.main(sys.argv[1:]))"
)
PLANTED = "planted-cora-node.spline"
HANG_GUARD_S = 600.0
# What caps the instruction sets of oneDNN, PyTorch and MKL.
CAPS = ("ONEDNN_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", "MKL_ENABLE_INSTRUCTIONS")
PROCESSORS = {
    "own": {},
    "AVX2": dict(zip(CAPS, ("AVX2", "avx2", "AVX2"), strict=True)),
    "SSE4": dict(zip(CAPS, ("SSE41", "default", "SSE4_2"), strict=True)),
}


@dataclass(frozen=True)
class Outcome:
    """How a run ended: its exit status, what it printed, what failed and why, and what it wrote."""

    status: int
    output: str
    failures: Mapping[str, str]
    results: Mapping[str, Any]
    benchmarks: Mapping[str, Any]

    @property
    def records(self) -> dict[str, dict[str, Any]]:
        """The records by case, without what is common to all: the data and the model."""
        return {record["id"].removeprefix(f"{PLANTED}."): record for record in self.results["cases"]}

    def gate(self, case: str) -> tuple[str, list[str]]:
        """The gate's word on a case, and its reasons."""
        found = self.records[case]["gate"]
        return found["status"], found["reasons"]


class Suite:
    """Runs cases of SplineNet with one seed and brief comparisons; the runs share a cache, and no lock with others."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "tmp").mkdir()

    def run(
        self, *options: str, cases: Mapping[str, str], faults: str = "hurry invent_memory", processor: str = "own"
    ) -> Outcome:
        """One run of some cases, each with the faults of `tests.suite.faults` that are named for it, and with `faults`.

        A run in which one hangs is interrupted when it does. `processor` names one of `PROCESSORS`.
        """
        files = {name: self.folder / name for name in ("results.json", "benchmarks.json", "failures.xml", "sign")}
        for path in files.values():
            path.unlink(missing_ok=True)
        results, benchmarks, failures, sign = files.values()
        planted = [f"{fault}@{PLANTED}.{case}" for case, named in cases.items() for fault in named.split()]
        written = ("--results", str(results), "--benchmark-json", str(benchmarks), "--junit-xml", str(failures))
        selection = ("--data", "planted", "--profile", "paper", "--seeds", "1", *map(_node_id, cases))
        command = [sys.executable, "-c", RUN, "-p", "tests.suite.faults", *selection, *written, *options]
        environment = {"GNN_FAULT": " ".join((faults, *planted)), "GNN_FAULT_SIGN": str(sign), **PROCESSORS[processor]}
        with self._started(command, environment) as process:
            try:
                if "hang" in cases.values():
                    _interrupt(process, sign)
                output, _ = process.communicate(timeout=HANG_GUARD_S)
            finally:
                process.kill()
        timed = json.loads(benchmarks.read_text()) if benchmarks.exists() else {"benchmarks": []}
        return Outcome(process.returncode, output, _failures(failures), json.loads(results.read_text()), timed)

    def _started(self, command: list[str], variables: Mapping[str, str]) -> subprocess.Popen[str]:
        # The suite under test is a run of its own, not a worker of the run that tests it.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        own = {"GNN_CACHE": str(self.folder / "cache"), "TMPDIR": str(self.folder / "tmp"), **variables}
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment | own,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )


def _node_id(case: str) -> str:
    function = "test_baselines.py::test_baseline" if case == "dense" else "test_pruning.py::test_pruning"
    return f"bench/{function}[{PLANTED}.{case}]"


def _interrupt(process: subprocess.Popen[str], sign: Path) -> None:
    deadline_s = time.monotonic() + HANG_GUARD_S
    while not sign.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline_s, "no case began to hang"
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)


def _failures(path: Path) -> dict[str, str]:
    """What was said of each case that failed."""
    tree = Xml.fromstring(path.read_text())  # noqa: S314  (pytest wrote it)
    results = [(case.get("name", ""), result) for case in tree.iter("testcase") for result in case]
    failed = [(name, result.text or "") for name, result in results if result.tag in ("failure", "error")]
    return {name.split(f"{PLANTED}.")[1].rstrip("]"): text for name, text in failed}
