"""The gate, from the command line: green when nothing got worse, red with a sentence when something did.

Four runs have all faults between them; two are interrupted while a case hangs, as by Ctrl-C. All are on processors that
snapshots need not be from: what is green or red must not depend on that.
"""

import json
from collections.abc import Iterable
from typing import Any

import pytest

from fixtures.findings import accept_command
from tests.suite.running import PLANTED, ROOT, Outcome, Suite

GREEN = {"dense": "", "global.s0.9.ft": ""}
NEW, WITHOUT_USAGE = "fine-grained.s0.9", "global.s0.9"
UNMEASURED = {NEW: "forget_baseline", WITHOUT_USAGE: "forget_usage"}
NOT_MEASURED = {
    NEW: f"{PLANTED}.{NEW}: there is no snapshot yet; create it with {accept_command(f'{PLANTED}.{NEW}')}",
    WITHOUT_USAGE: f"{PLANTED}.{WITHOUT_USAGE}: cpu_percent was not measured",
}
GROWN, DESTROYED, UNREADABLE, LOST = "global.s0.8", "global.s0.8.ft", "global.s0.5", "fine-grained.s0.5"
DISAGREES = "fine-grained.s0.8"
FAULTY = {
    GROWN: "add_dense_tensor",
    DESTROYED: "reinitialise_weight",
    UNREADABLE: "damage_baseline",
    DISAGREES: "disagreeing_runtime",
}
TIMED = (
    "latency_s",
    "speedup",
    "energy_j",
    "training_energy_j",
    "training_s",
    "measuring_s",
    "cpu_percent",
    "training_cpu_percent",
)


@pytest.fixture(scope="module")
def alone(suite: Suite) -> Outcome:
    return suite.run("-n", "0", cases=GREEN | UNMEASURED, faults="hurry forbid_gpus", processor="SSE4")


@pytest.fixture(scope="module")
def parallel(suite: Suite) -> Outcome:
    page = ("--report", str(suite.folder / "page"))
    return suite.run("-n", "2", *page, cases=GREEN | FAULTY | {LOST: "crash_worker"}, processor="SSE4")


# Cases of fewer seeds run before the dense one, which hangs, and those of as many after it.
@pytest.fixture(scope="module")
def strict(suite: Suite) -> Outcome:
    return suite.run("-n", "0", "--gate", "strict", cases=UNMEASURED | {"dense": "hang"}, processor="AVX2")


@pytest.fixture(scope="module")
def reported(suite: Suite) -> Outcome:
    return suite.run("-n", "1", "--gate", "report", cases={GROWN: FAULTY[GROWN], "dense": "hang"}, processor="AVX2")


def without_measurements(record: dict[str, Any]) -> dict[str, Any]:
    """The part of a record that has to repeat exactly."""
    return {
        name: value for name, value in record.items() if name not in (*TIMED, "memory_bytes", "training_memory_bytes")
    }


def keys(value: Any, path: str = "") -> set[str]:  # noqa: ANN401
    """The path of every key in a JSON value; where a list is, its first element stands for all."""
    if isinstance(value, list):
        return keys(value[0], f"{path}[]") if value else set()
    if not isinstance(value, dict):
        return set()
    return {found for name, inner in value.items() for found in {f"{path}.{name}", *keys(inner, f"{path}.{name}")}}


def timed(outcome: Outcome, cases: Iterable[str]) -> list[str]:
    """The cases among these that pytest-benchmark has timed, in its order."""
    names = [entry["fullname"].split(f"{PLANTED}.")[1].rstrip("]") for entry in outcome.benchmarks["benchmarks"]]
    return [name for name in names if name in cases]


def test_a_run_is_green_when_nothing_got_worse_whether_all_was_measured_or_not(alone: Outcome) -> None:
    assert alone.status == 0, alone.output
    assert alone.failures == {}
    # Last bits of another processor may leave one seed undecided.
    assert {alone.gate(case)[0] for case in GREEN} <= {"pass", "undecided"}
    for case, reason in NOT_MEASURED.items():
        status, reasons = alone.gate(case)
        assert status == "not-measured"
        assert reason in reasons
    assert alone.records.keys() == (GREEN | UNMEASURED).keys()


def test_workers_change_no_result(alone: Outcome, parallel: Outcome) -> None:
    for case in GREEN:
        assert without_measurements(alone.records[case]) == without_measurements(parallel.records[case])
    # One of the workers dies, which adds to these alone; other cases are asked for.
    tried: dict[str, object] = {"broken": [], "retried": [], "failed": [], "files": {}, "durations_s": {}}
    assert keys({**alone.results, **tried}) == keys({**parallel.results, **tried})
    assert keys(alone.benchmarks) == keys(parallel.benchmarks)
    assert timed(alone, GREEN) == timed(parallel, GREEN)
    assert len(timed(alone, GREEN)) == 2


@pytest.mark.parametrize(("case", "metric"), [(DESTROYED, "accuracy"), (GROWN, "encoded_bytes")])
def test_a_planted_fault_turns_the_run_red(parallel: Outcome, case: str, metric: str) -> None:
    stored = json.loads((ROOT / "snapshots" / f"{PLANTED}.{case}.json").read_text())["seeds"]["0"]
    assert parallel.status == 1, parallel.output
    status, reasons = parallel.gate(case)
    assert status == "fail"
    sentence = next(reason for reason in reasons if f"{PLANTED}.{case}: {metric} is" in reason)
    assert f"snapshot {stored[metric]:.6g}" in sentence
    assert "allowed is" in sentence
    assert sentence in parallel.failures[case]


def test_a_runtime_that_disagrees_with_its_model_is_red(parallel: Outcome) -> None:
    assert f"{PLANTED}.{DISAGREES}: runtime_difference is 0.001" in parallel.failures[DISAGREES]


def test_a_damaged_baseline_is_refused(parallel: Outcome) -> None:
    assert f"{PLANTED}.{UNREADABLE}.json is damaged" in parallel.failures[UNREADABLE]


def test_a_worker_that_dies_takes_no_other_record_with_it(parallel: Outcome) -> None:
    assert parallel.failures[LOST].startswith(f"{PLANTED}.{LOST}: its worker died of SIGKILL")
    assert [f"{PLANTED}.{LOST}]" in entry["test"] for entry in parallel.results["retried"]] == [True]
    assert [f"{PLANTED}.{LOST}]" in entry["test"] for entry in parallel.results["broken"]] == [True]
    assert parallel.records.keys() == (GREEN | FAULTY).keys()
    assert parallel.failures.keys() == {*FAULTY, LOST}


def test_a_run_ends_in_a_page_of_its_results_even_when_it_is_red(parallel: Outcome, suite: Suite) -> None:
    assert f"page: {suite.folder / 'page' / 'index.html'}" in parallel.output.splitlines()
    assert json.loads((suite.folder / "page" / "records.json").read_text()) == parallel.results


def test_an_interrupted_run_keeps_what_it_measured_and_says_so(strict: Outcome, reported: Outcome) -> None:
    for outcome in (strict, reported):
        assert outcome.status == outcome.results["exit_status"] == pytest.ExitCode.INTERRUPTED, outcome.output
        assert "dense" not in outcome.records
        assert not any(line.startswith("GREEN") for line in outcome.output.splitlines())
        assert all(f"{PLANTED}.{case}" in outcome.output for case in outcome.records)


def test_what_was_not_measured_is_red_when_strict(strict: Outcome) -> None:
    assert strict.records.keys() == UNMEASURED.keys()
    assert strict.failures == NOT_MEASURED


def test_a_fault_is_only_reported_under_gate_report(reported: Outcome) -> None:
    assert reported.gate(GROWN)[0] == "fail"
    assert reported.failures == {}
