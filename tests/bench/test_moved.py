"""What moved is what the gate says, against accepted values and from run to run."""

import json
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from bench.report import moved as module
from bench.report.moved import compare, moved
from fixtures.baseline import compare_with_baseline
from fixtures.findings import FAIL, IMPROVED, PASS, UNDECIDED
from fixtures.record import Record, Results
from gnn.errors import GnnError
from tests.bench.made_up_records import changed, made_up_record, made_up_results

CASE = "cora-node.spline.global.s0.5"
MACHINE = {"class": "a-class", "instruction_set": "AVX9", "vendor": "AMD"}
ENVIRONMENT = {"torch": "9.8", "instruction_set": "AVX9", "vendor": "AMD"}
SEEDS = range(4)
VALUES = {"accuracy": 0.9, "sparsity": 0.5, "nonzero_parameters": 500.0, "compressed_tensors": 3}
SIZES = {"dense_bytes": 4000, "algorithm1_bytes": 2000, "encoded_bytes": 1000}


def by_seed(**values: list[float]) -> dict[str, dict[str, float]]:
    """What snapshots keep of four seeds, each metric with values of its own or the same for all."""
    return {str(seed): VALUES | SIZES | {name: found[seed] for name, found in values.items()} for seed in SEEDS}


def run(*records: Record, **changes: object) -> Results:
    return made_up_results(*records, machine=MACHINE, **changes)


def record(case: str = CASE, **values: list[float]) -> Record:
    return changed(
        made_up_record(case),
        seeds=[*SEEDS],
        by_seed=by_seed(**values),
        task_sha256={str(seed): "a" * 64 for seed in SEEDS},
    )


@pytest.fixture
def snapshots(tmp_path: Path) -> Path:
    """A folder that has accepted the made-up values of two cases."""
    for case in (CASE, f"{CASE}.ft"):
        document = {"case": case, "environment": ENVIRONMENT, "seeds": by_seed(accuracy=[0.90, 0.89, 0.91, 0.90])}
        document |= {"task_sha256": {str(seed): "a" * 64 for seed in SEEDS}}
        (tmp_path / f"{case}.json").write_text(json.dumps(document))
    return tmp_path


def test_what_moved_is_listed_worst_first_and_noise_is_counted(snapshots: Path) -> None:
    worse = record(accuracy=[0.70, 0.69, 0.71, 0.70], encoded_bytes=[1001.0, 1000.0, 1000.0, 1000.0])
    better = record(f"{CASE}.ft", accuracy=[0.95, 0.94, 0.96, 0.95])
    found = moved(run(worse, better), snapshots)
    assert [(move.case, move.movement.metric, move.verdict) for move in found.moves] == [
        (CASE, "accuracy", "worse"),
        (CASE, "encoded_bytes", "worse"),
        (f"{CASE}.ft", "accuracy", "better"),
    ]
    assert found.within_noise == 2 * len(VALUES | SIZES) - 3
    assert found.sentence == "2 worse, 1 better; 11 values of 2 cases within noise"
    accuracy, size, _ = found.table.rows
    assert accuracy[2:5] == pytest.approx([0.9, 0.7, -0.2])
    assert accuracy[5] == "-0.2 to -0.2"
    assert size[5] == "-0.5456 to +1.046"  # 0.25 +- t(3) * 0.5 / 2


@pytest.mark.parametrize(
    "now",
    [[0.9, 0.89, 0.91, 0.9], [0.89, 0.88, 0.9, 0.89], [0.8, 0.95, 0.9, 0.9], [0.95, 0.94, 0.96, 0.95], [0.9] * 4],
)
def test_a_movement_is_what_the_gate_finds(now: list[float], snapshots: Path) -> None:
    """The page never says of a value what the gate does not."""
    judged = run(record(accuracy=now))
    stored = json.loads((snapshots / f"{CASE}.json").read_text())
    rules = module.Suite.of(module.BENCH, "", snapshots=snapshots, ignore_timing=True).rules
    document = module.as_document(judged.cases[0], judged)
    findings = compare_with_baseline(document, stored, rules.allowances)
    told = {move.movement.metric: move.movement.status for move in moved(judged, snapshots).moves}
    statuses = {rule.metric: finding.status for rule, finding in zip(rules.allowances, findings, strict=True)}
    assert told == {metric: status for metric, status in statuses.items() if status != PASS}


def test_older_files_are_judged_by_means_which_have_no_interval(snapshots: Path) -> None:
    old = changed(record(), by_seed={}, task_sha256={}, accuracy={"values": [0.90, 0.89, 0.91, 0.90]}, sparsity=0.5)
    old = changed(old, nonzero_parameters=500.0, size_bytes={"dense": 4000.0, "algorithm1": 1990.0, "encoded": 1200.0})
    found = moved(run(old), snapshots)
    assert [(move.movement.metric, move.movement.status, move.movement.interval) for move in found.moves] == [
        ("encoded_bytes", FAIL, None),
        ("algorithm1_bytes", IMPROVED, None),
    ]


def test_what_cannot_be_compared_says_why(snapshots: Path) -> None:
    split = changed(record(), task_sha256={"0": "b" * 64})
    unknown, infinite = record("cora-node.spline.dense"), changed(record(f"{CASE}.ft"), not_finite={"sparsity": "nan"})
    found = moved(run(split, unknown, infinite), snapshots)
    assert (found.moves, found.within_noise, found.compared_cases) == ((), 0, 0)
    first, second, third = found.not_compared.values()
    assert "the data or its split changed" in first
    assert second.startswith("there is no snapshot yet")
    assert third == "sparsity is no finite number"


def ratio(value: float, half: float = 0.01) -> Record:
    return changed(record(), speedup={"compression": value, "compression_ci95": (value - half, value + half)})


@pytest.mark.parametrize(
    ("now", "half", "status"), [(1.0, 0.01, FAIL), (1.44, 0.05, UNDECIDED), (1.5, 0.01, PASS), (1.7, 0.01, IMPROVED)]
)
def test_a_ratio_moves_by_the_allowance_of_the_gate(now: float, half: float, status: str) -> None:
    """Both runs are of one class of machines; of another class ratios are left out, with the reason."""
    old, new = run(ratio(1.5)), run(ratio(now, half))
    table = compare(old, new)
    verdicts = {row[1]: row[-1] for row in table.rows}
    assert verdicts.get("speedup.compression", "within noise") == module.WORDS[status]
    elsewhere = compare(old, made_up_results(*new.cases, machine=MACHINE | {"class": "b-class"}))
    assert not elsewhere.rows
    assert "ratios of latencies are left out: a-class is another class of machines than b-class" in elsewhere.notes


def test_two_runs_compare_over_the_cases_of_both_the_largest_effect_first() -> None:
    old = run(record(), record(f"{CASE}.ft"), record("cora-node.spline.dense"))
    new = run(
        record(accuracy=[0.89] * 4, encoded_bytes=[1500.0] * 4), record(f"{CASE}.ft"), record("cora-node.gcn.dense")
    )
    table = compare(old, new)
    assert [(row[0], row[1], row[-1]) for row in table.rows] == [
        (CASE, "encoded_bytes", "worse"),
        (CASE, "accuracy", "worse"),
    ]
    assert table.notes[0] == "2 cases are in both runs; 16 values are the same, 0 changed within noise, 2 by more"
    assert table.notes[1].startswith("only in the old run are 1 cases (the other one ran 3 cases of profile ci)")
    noise = run(record(accuracy=[0.899] * 4))
    assert len(compare(old, noise).rows) == 1
    assert not compare(old, noise, significant_only=True).rows


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (run(record(), protocol="paper"), "protocol 'clean', the new one 'paper'"),
        (run(record("a-task.a-model.dense")), "no case in common"),
        (run(changed(record(), score="f1")), f"the score of {CASE} was 'accuracy' and is 'f1'"),
        (run(record(), data={"cora-node": {"source": "root", "sha256": "b" * 64}}), "the data of cora-node is not"),
    ],
)
def test_runs_of_different_things_are_refused_in_one_sentence(other: Results, sentence: str) -> None:
    old = run(changed(record(), score="accuracy"), data={"cora-node": {"source": "root", "sha256": "a" * 64}})
    with pytest.raises(GnnError, match=sentence):
        compare(old, other)


def test_movements_survive_a_results_file() -> None:
    """What a record keeps by seed is read again as it was written."""
    first = run(record())
    assert msgspec.json.decode(msgspec.json.encode(first), type=Results) == first
    assert replace(moved(first, Path("nowhere")), not_compared={}).moves == ()
