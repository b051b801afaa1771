"""The gate, from the command line: green when nothing got worse, red with a sentence when something did."""

import json
from typing import Any

import pytest

from tests.suite.running import ROOT, Suite, complaints

CASE = "planted-cora-node.spline.global.s0.9.ft"


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    return Suite(tmp_path_factory.mktemp("suite"))


def without_measurements(record: dict[str, Any]) -> dict[str, Any]:
    """The part of a record that has to repeat exactly."""
    timed = ("latency_s", "speedup", "energy_j", "training_energy_j", "training_s", "measuring_s", "gate")
    return {name: value for name, value in record.items() if name not in (*timed, "cpu_percent", "memory_bytes")}


def keys(value: Any, path: str = "") -> set[str]:  # noqa: ANN401
    """The path of every key in a JSON value; where a list is, its first element stands for all."""
    if isinstance(value, list):
        return keys(value[0], f"{path}[]") if value else set()
    if not isinstance(value, dict):
        return set()
    return {found for name, inner in value.items() for found in {f"{path}.{name}", *keys(inner, f"{path}.{name}")}}


def test_workers_change_no_result(suite: Suite) -> None:
    selection = ("-k", "cora-node.spline and (global.s0.9 or dense) and not stored", "--seeds", "2")
    alone, parallel = suite.run("-n", "0", *selection), suite.run("-n", "2", *selection)
    assert len(alone.records) == 4, alone.output
    assert alone.records.keys() == parallel.records.keys(), parallel.output
    for case, record in alone.records.items():
        assert without_measurements(record) == without_measurements(parallel.records[case])
        assert complaints(record) == complaints(parallel.records[case]) == []
    assert keys(alone.results) == keys(parallel.results)
    assert keys(alone.benchmarks) == keys(parallel.benchmarks)
    timed = [[entry["fullname"] for entry in run.benchmarks["benchmarks"]] for run in (alone, parallel)]
    assert len(timed[0]) == 4
    assert timed[0] == timed[1]
    for outcome in (alone, parallel):
        assert "PLANTED" in outcome.output
        assert "[4/4]" in outcome.output
        assert CASE in outcome.output.split("compressed graph neural networks")[1]
        assert "the paper's tables" not in outcome.output


@pytest.mark.parametrize(
    ("fault", "metric", "workers"),
    [
        ("reinitialise_weight", "accuracy", "0"),
        ("reinitialise_weight", "accuracy", "2"),
        ("add_dense_tensor", "encoded_bytes", "0"),
    ],
)
def test_planted_fault_turns_the_run_red(suite: Suite, fault: str, metric: str, workers: str) -> None:
    outcome = suite.run("-n", workers, "-k", "global.s0.9.ft", fault=fault)
    stored = json.loads((ROOT / "snapshots" / f"{CASE}.json").read_text())["seeds"]
    baseline = sum(stored[seed][metric] for seed in "012") / 3
    assert outcome.status == 1, outcome.output
    assert outcome.records[CASE]["gate"]["status"] == "fail"
    sentence = next(reason for reason in complaints(outcome.records[CASE]) if f"{CASE}: {metric} is" in reason)
    assert f"baseline {baseline:.6g}" in sentence
    assert "allowed is" in sentence
    assert sentence in outcome.output


def test_a_worker_that_dies_takes_no_other_record_with_it(suite: Suite) -> None:
    outcome = suite.run(
        "-n", "2", "-k", "cora-node.spline and (global.s0.9 or dense)", "--seeds", "1", fault="crash_worker"
    )
    assert outcome.status == 1, outcome.output
    assert "crashed while running" in outcome.output
    lost = {"planted-cora-node.spline.dense"}
    assert {entry["test"].split("[")[1].rstrip("]") for entry in outcome.results["broken"]} == lost
    assert {CASE, "planted-cora-node.spline.dense.ft"} <= outcome.records.keys()
    assert not lost & outcome.records.keys()


def test_fault_is_only_reported_under_gate_report(suite: Suite) -> None:
    outcome = suite.run("-n", "0", "-k", "global.s0.9.ft", "--gate", "report", fault="add_dense_tensor")
    assert outcome.status == 0, outcome.output
    assert outcome.records[CASE]["gate"]["status"] == "fail"


def test_damaged_baseline_is_refused(suite: Suite) -> None:
    outcome = suite.run("-n", "0", "-k", "global.s0.9.ft", "--seeds", "1", fault="damage_baseline")
    assert outcome.status == 1, outcome.output
    assert f"{CASE}.json is damaged" in outcome.output


@pytest.mark.parametrize(
    ("fault", "reasons"),
    [
        ("forget_baseline", [f"{CASE}: there is no baseline yet; create it with scripts/bless -k {CASE}"]),
        ("forget_usage", [f"{CASE}: cpu_percent was not measured"]),
    ],
)
@pytest.mark.parametrize("gate", ["enforce", "strict"])
def test_what_was_not_measured_is_red_only_when_strict(suite: Suite, fault: str, reasons: list[str], gate: str) -> None:
    outcome = suite.run("-n", "0", "-k", "global.s0.9.ft", "--seeds", "1", "--gate", gate, fault=fault)
    record = outcome.records[CASE]
    assert complaints(record) == reasons
    assert record["gate"]["status"] != "pass"
    # A latency that is found wanting on a busy machine would turn the run red for a reason of its own.
    if record["gate"]["status"] == "not-measured":
        assert outcome.status == (gate == "strict"), outcome.output
        assert (reasons[0] in outcome.output) is True
