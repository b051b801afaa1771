"""The gate, from the command line: green when nothing got worse, red with a sentence when something did."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
CASE = "planted-cora-node.spline.global.s0.9.ft"


@dataclass(frozen=True)
class Outcome:
    status: int
    output: str
    records: dict[str, dict[str, Any]]


class Suite:
    """Runs the suite in a process of its own on planted data, with a cache that the tests share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *arguments: str, fault: str = "") -> Outcome:
        results = self.folder / "results.json"
        results.unlink(missing_ok=True)
        plugin = ["-p", "tests.suite.faults"] if fault else []
        command = [sys.executable, "-m", "pytest", "bench", *plugin, "--data", "planted", "--results", str(results)]
        environment = {**os.environ, "GNN_CACHE": str(self.folder / "cache"), "GNN_FAULT": fault}
        # The suite under test is a run of its own, not a worker of the run that tests it.
        environment = {name: value for name, value in environment.items() if not name.startswith("PYTEST_")}
        done = subprocess.run(
            [*command, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=240
        )
        records = json.loads(results.read_text())["cases"] if results.exists() else []
        return Outcome(done.returncode, done.stdout + done.stderr, {record["id"]: record for record in records})


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    return Suite(tmp_path_factory.mktemp("suite"))


def complaints(record: dict[str, Any]) -> list[str]:
    """What the gate says, without latencies: how busy the machine is does not belong in a unit test."""
    return [reason for reason in record["gate"]["reasons"] if "speedup" not in reason]


def without_measurements(record: dict[str, Any]) -> dict[str, Any]:
    """The part of a record that has to repeat exactly."""
    measured = ("latency_s", "speedup", "energy_j", "cpu_percent", "memory_bytes", "training_s", "gate")
    return {name: value for name, value in record.items() if name not in measured}


def test_workers_change_no_result(suite: Suite) -> None:
    selection = ("-k", "cora-node.spline and (global.s0.9 or dense) and not stored", "--seeds", "2")
    alone, parallel = suite.run("-n", "0", *selection), suite.run("-n", "2", *selection)
    assert len(alone.records) == 4, alone.output
    assert alone.records.keys() == parallel.records.keys(), parallel.output
    for case, record in alone.records.items():
        assert without_measurements(record) == without_measurements(parallel.records[case])
        assert complaints(record) == complaints(parallel.records[case]) == []
    for outcome in (alone, parallel):
        assert "PLANTED" in outcome.output
        assert "[4/4]" in outcome.output
        assert CASE in outcome.output.split("compressed graph neural networks")[1]
        assert "the paper's tables" not in outcome.output


@pytest.mark.parametrize(
    ("fault", "metric"), [("reinitialise_weight", "accuracy"), ("add_dense_tensor", "encoded_bytes")]
)
def test_planted_fault_turns_the_run_red(suite: Suite, fault: str, metric: str) -> None:
    outcome = suite.run("-n", "0", "-k", "global.s0.9.ft", fault=fault)
    stored = json.loads((ROOT / "snapshots" / f"{CASE}.json").read_text())["seeds"]
    baseline = sum(stored[seed][metric] for seed in "012") / 3
    assert outcome.status == 1, outcome.output
    assert outcome.records[CASE]["gate"]["status"] == "fail"
    sentence = next(reason for reason in complaints(outcome.records[CASE]) if f"{CASE}: {metric} is" in reason)
    assert f"baseline {baseline:.6g}" in sentence
    assert "allowed is less than" in sentence
    assert sentence in outcome.output


def test_fault_is_only_reported_under_gate_report(suite: Suite) -> None:
    outcome = suite.run("-n", "0", "-k", "global.s0.9.ft", "--gate", "report", fault="add_dense_tensor")
    assert outcome.status == 0, outcome.output
    assert outcome.records[CASE]["gate"]["status"] == "fail"


def test_damaged_baseline_is_refused(suite: Suite) -> None:
    outcome = suite.run("-n", "0", "-k", "global.s0.9.ft", "--seeds", "1", fault="damage_baseline")
    assert outcome.status == 1, outcome.output
    assert f"{CASE}.json is damaged" in outcome.output


@pytest.mark.parametrize(("gate", "status"), [("enforce", 0), ("strict", 1)])
def test_missing_baseline_is_red_only_when_strict(suite: Suite, gate: str, status: int) -> None:
    outcome = suite.run("-n", "0", "-k", "global.s0.9.ft", "--seeds", "1", "--gate", gate, fault="forget_baseline")
    reasons = complaints(outcome.records[CASE])
    assert reasons == [f"{CASE}: there is no baseline yet; create it with --snapshot-update"]
    assert outcome.records[CASE]["gate"]["status"] != "pass"
    if len(reasons) == len(outcome.records[CASE]["gate"]["reasons"]):
        assert outcome.status == status, outcome.output
