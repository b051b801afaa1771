"""Ctrl-C in the middle of a run: what was measured is shown and written, and the run does not look whole."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# A shell starts background jobs with the signal ignored, and Python would inherit that.
RUN = (
    "import signal, sys, pytest; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "sys.exit(pytest.main(sys.argv[1:]))"
)


# Where the signal meets an instruction that CPython 3.11 gives no line number, pytest 9.2 breaks while it prints where.
PYTEST_BREAKS = "unsupported operand type(s) for -: 'NoneType' and 'int'"


def interrupt_after_the_first_case(workers: str, results: Path) -> tuple[int, str, int]:
    """Exit status, output after the first case, and the number of cases there would have been."""
    selection = ("-k", "cora-node.spline", "--data", "planted", "--seeds", "1")
    arguments = ["bench", "-n", workers, *selection, "--results", str(results)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    with subprocess.Popen(
        [sys.executable, "-c", RUN, *arguments],
        cwd=ROOT,
        env={**environment, "GNN_CACHE": str(results.with_name("cache")), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        first = None
        assert process.stdout is not None
        for line in process.stdout:
            if first := re.match(r"\[ *1/(\d+)\]", line):
                break
        assert first, "no case was finished"
        os.killpg(process.pid, signal.SIGINT)
        output, _ = process.communicate(timeout=120)
    return process.returncode, output, int(first[1])


@pytest.mark.parametrize("workers", ["0", "2"])
def test_an_interrupted_run_keeps_what_it_measured_and_says_so(tmp_path: Path, workers: str) -> None:
    results = tmp_path / "results.json"
    for _ in range(3):
        status, output, cases = interrupt_after_the_first_case(workers, results)
        if PYTEST_BREAKS not in output:
            break
    assert status == pytest.ExitCode.INTERRUPTED, output
    document = json.loads(results.read_text())
    assert document["exit_status"] == pytest.ExitCode.INTERRUPTED
    assert 1 <= len(document["cases"]) < cases - 1
    assert all(case["id"] in output for case in document["cases"])
