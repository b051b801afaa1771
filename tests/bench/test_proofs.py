"""What the proofs count, and that they cannot prove what did not happen."""

import random
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from bench.matrix import TABLE
from bench.proofs import faults, gate, page, repeat, suite_runs, timing
from bench.proofs.gate import Experiment
from bench.proofs.suite_runs import SuiteRun, run_suite
from gnn.artifacts import Artifact, ArtifactStore
from gnn.errors import SettingError


def made_up_run(
    ratio: float = 2.0, status: str = "pass", reasons: Sequence[str] = (), exit_status: int = 0
) -> SuiteRun:
    record: dict[str, Any] = {
        "id": "a.case",
        "speedup": {"compression": ratio},
        "gate": {"status": status, "reasons": list(reasons), "improvements": []},
    }
    return SuiteRun(exit_status, {"cases": [record]})


SLOWER = "a.case: speedup.compression is 1.9, baseline 2: -5.0%"
LESS_ACCURATE = "a.case: accuracy is 0.8, baseline 0.81: 0.01 lower"


def test_ratios_are_compared_with_the_median_of_the_quiet_ones() -> None:
    assert timing.deviations([1.9, 2.0, 2.2], [2.0, 2.1, 1.9]) == pytest.approx([0.0, 0.05, -0.05])


def test_the_table_counts_what_is_within_two_per_cent() -> None:
    quiet, busy = [made_up_run(2.0)] * 3, [made_up_run(ratio) for ratio in (2.0, 2.039, 1.961, 2.041, 1.9)]
    text = timing.table(timing.by_case(quiet), timing.by_case(busy))
    assert "| a.case" in text
    assert "3 of 5" in text
    assert "-5.0% to +2.0%" in text


def test_an_unchanged_run_is_right_when_it_is_green() -> None:
    runs = [made_up_run(), made_up_run(), made_up_run(status="fail", reasons=[SLOWER], exit_status=1)]
    experiment = Experiment("unchanged", runs)
    assert experiment.right == 2
    assert experiment.row == ["unchanged", "2 of 3 green", "-", SLOWER]


def test_a_planted_fault_counts_only_when_it_is_red_for_its_own_reason() -> None:
    runs = [
        made_up_run(status="fail", reasons=[SLOWER], exit_status=1),
        made_up_run(status="not-measured", reasons=[SLOWER], exit_status=1),
        made_up_run(status="fail", reasons=[LESS_ACCURATE], exit_status=1),
        made_up_run(status="not-measured", reasons=[SLOWER]),
        made_up_run(),
    ]
    experiment = Experiment("slower", runs, "speedup.compression")
    assert experiment.right == 2
    assert experiment.row == ["slower", "2 of 5 red", "2", SLOWER]


def test_a_suite_that_does_not_finish_proves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bench").mkdir()
    monkeypatch.setattr(suite_runs, "ROOT", tmp_path)
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    with pytest.raises(RuntimeError, match=r"ended with \d"):
        run_suite("--no-such-option")


def test_a_trainer_that_ends_early_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing, "sys", type("Fake", (), {"executable": "true"}))
    with pytest.raises(RuntimeError, match="ended before it trained"), timing.trainers(2):
        pytest.fail("there are no trainers")


def test_progress_is_shown_run_by_run(capsys: pytest.CaptureFixture[str]) -> None:
    runs = list(suite_runs.repeated("busy", 2, lambda number: made_up_run(exit_status=number)))
    assert [run.is_red for run in runs] == [False, True]
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("busy 1/2: green, about ")
    assert second.startswith("busy 2/2: red, about 0 s left")


def test_a_section_is_replaced_and_the_rest_of_the_page_stays(tmp_path: Path) -> None:
    file = tmp_path / "page.md"
    file.write_text("before\n<!-- a -->\nold\n<!-- end of a -->\nafter\n<!-- b -->\n<!-- end of b -->\n")
    for _ in range(2):
        page.write_section("a", "new\n", file)
    expected = "before\n<!-- a -->\n\nnew\n\n<!-- end of a -->\nafter\n<!-- b -->\n<!-- end of b -->\n"
    assert file.read_text() == expected
    with pytest.raises(SettingError, match="no section"):
        page.write_section("c", "text", file)


@pytest.mark.parametrize(
    ("name", "file"), [("prove-timing", page.PAGE), ("prove-gate", page.PAGE), ("prove-faults", faults.PAGE)]
)
def test_the_page_has_a_section_for_every_proof(name: str, file: Path) -> None:
    text = file.read_text()
    assert f"<!-- {name} -->" in text
    assert f"<!-- end of {name} -->" in text


def test_the_machine_line_names_what_a_reader_must_know() -> None:
    machine = {"cpu": "EPYC", "class": "amd-26", "cores": 2, "threads": 1, "system": "Linux", "kernel_release": "6.1"}
    line = page.machine_line(
        {"machine": {**machine, "allocator": "kept"}, "versions": {"torch": "2", "python": "3.11"}}
    )
    assert line.startswith("EPYC (amd-26), 2 cores, 1 thread, Linux 6.1, torch 2, Python 3.11, kept; 20")


def test_the_planted_cases_are_those_of_the_case_table() -> None:
    killed = {case.partition("[planted-")[2].removesuffix("]") for case in faults.CASES}
    assert {gate.SLOWED, gate.LESS_ACCURATE, *killed} <= {row.case.id for row in TABLE}


class ActedSuite(faults.Suite):
    """A suite whose runs do to the files what they are told, and sleep."""

    def __init__(self, folder: Path) -> None:
        self.checkout, self.temporary, self.results = folder, folder / "t", folder / "results.json"
        self.script = ""
        for path in (self.temporary, folder / "snapshots", folder / "cache" / "artifacts"):
            path.mkdir(parents=True)
        self.results.write_text("{}")
        for case in faults.CASES:
            snapshot = folder / "snapshots" / f"{case.partition('[')[2][:-1]}.json"
            snapshot.write_text('{"seeds": {"0": {}, "1": {}}, "task_sha256": {"0": "", "1": ""}}')

    def start(self, cache: Path, *options: str, faults: str = "") -> subprocess.Popen[bytes]:  # noqa: ARG002
        subprocess.run(["/bin/sh", "-c", self.script], cwd=self.checkout, check=True)
        return subprocess.Popen(["/bin/sleep", "600"], start_new_session=True)


@pytest.fixture
def proof(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> faults.Proof:
    for name in ("EARLIEST_S", "AFTERMATH_S"):
        monkeypatch.setattr(faults, name, 0.01)
    return faults.Proof(ActedSuite(tmp_path), tmp_path / "cache", random.Random(0), duration_s=0.02)


@pytest.mark.parametrize("kind", faults.KINDS)
def test_a_kill_that_does_no_harm_counts_as_none(proof: faults.Proof, kind: str) -> None:
    store = ArtifactStore(proof.cache)
    for number in range(8):
        store.load_or_build({"number": number}, lambda: Artifact({}))
    proof.kill_a_run(kind)
    tally = proof.tally
    assert (tally.kills[kind], tally.damaged, tally.lost, tally.left) == (1, 0, 0, 0)
    assert 0 < tally.found < 8


@pytest.mark.parametrize(
    ("script", "counts"),
    [
        ("for file in cache/artifacts/*.artifact; do echo x > $file; done", (3, 3, 0, 0)),
        ("rm cache/artifacts/*.artifact", (0, 0, 3, 0)),
        ("rm results.json", (3, 0, 1, 0)),
        ("for file in snapshots/*.json; do echo '{' > $file; done", (3, 0, 2, 0)),
        ("mkdir t/pymp-a t/gnn-temporary-a; touch snapshots/.a.json.1.part t/made_by_pyg.py", (3, 0, 0, 3)),
    ],
)
def test_harm_is_counted(
    proof: faults.Proof, script: str, counts: tuple[int, int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ArtifactStore(proof.cache)
    for number in range(3):
        store.load_or_build({"number": number}, lambda: Artifact({}))
    assert isinstance(proof.suite, ActedSuite)
    proof.suite.script = script
    monkeypatch.setattr(proof.draw, "random", lambda: 1.0)
    proof.kill_a_run("all processes")
    tally = proof.tally
    assert (tally.found, tally.damaged, tally.lost, tally.left) == counts


def test_a_share_of_the_cases_is_drawn_by_a_seed() -> None:
    cases = [f"case {number}" for number in range(25)]
    chosen = repeat.drawn(cases, 0.1, seed=7)
    assert len(chosen) == 3
    assert chosen == repeat.drawn(cases, 0.1, seed=7)
    assert chosen != repeat.drawn(cases, 0.1, seed=8)
    assert chosen == [case for case in cases if case in chosen]


def test_cases_that_do_not_repeat_are_named_with_both_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeat, "machine_line", lambda _results: "a machine")
    records = [{"id": name, "seeds": [0, 1], "by_seed": {"0": {"accuracy": 0.5}}} for name in ("a", "b", "c")]
    before = {"cases": records, "machine": {"class": "a class"}, "commit": {"sha": "0123456789"}}
    after = {"cases": [records[0], {**records[1], "by_seed": {"0": {"accuracy": 0.6}}}]}
    text = repeat.report(before, after, ["a", "b", "c"], 7)
    assert "3 of 3 cases (6 seeds), drawn with seed 7" in text
    assert "**1 of 3 are the same" in text
    assert "{'accuracy': 0.6}" in text
    assert "not run" in text
    assert "**1 of 1 are the same" in repeat.report(before, after, ["a"], 7)


def test_a_file_that_is_no_results_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["prove-repeat", str(tmp_path / "nothing.json")])
    with pytest.raises(SystemExit):
        repeat.main()
    assert "nothing.json is not a file that --results wrote" in capsys.readouterr().err
