"""New baselines come from a commit, from cases that are sound, and from machines whose timings compare."""

import argparse
import errno
import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from bench import bless as module
from bench.bless import bless, blessed, check_clean, check_machine_class, update_ratios
from fixtures.record import Record, Results
from fixtures.speed import Speed
from fixtures.timing_baseline import TimingBaseline
from gnn.errors import SettingError
from tests.bench.made_up_records import made_up_record, made_up_results

CLASS = "amd-26-2"


def case(name: str, ratio: float | None, status: str = "pass", protocol: str = "clean") -> Record:
    found = {"speedup": {"compression": ratio}, "instructions": {"ratio": None}, "gate": {"status": status}}
    return made_up_record("a.b.dense", id=name, protocol=protocol, **found)


def look(*records: Record, speeds: Sequence[float] = ()) -> Results:
    numbers = {"cpu_s": 1.0, "target_cpu_s": 1.0, "peer": "its peer"}
    named = [{"name": f"work {number}", "ratio": ratio, **numbers} for number, ratio in enumerate(speeds)]
    return made_up_results(*records, machine={"class": CLASS}, speeds=named)


def stored(folder: Path) -> dict[str, dict[str, float]]:
    return json.loads((folder / f"{CLASS}.json").read_text())["cases"]


def test_a_clean_tree_is_accepted() -> None:
    check_clean("")


def test_a_tree_that_differs_from_its_commit_is_refused() -> None:
    status = " M gnn/runtime/spline.py\n?? notes.txt\n M a.py\n M b.py\n"
    with pytest.raises(SettingError, match=r"^4 files .*\(gnn/runtime/spline.py, notes.txt, a.py, \.\.\.\).* commit"):
        check_clean(status)


def test_a_class_that_is_kept_is_updated_and_another_one_refused(tmp_path: Path) -> None:
    (tmp_path / f"{CLASS}.json").touch()
    check_machine_class(CLASS, tmp_path, new=False)
    with pytest.raises(SettingError, match=rf"of class intel-6.* kept for {CLASS}; .*--new-machine-class"):
        check_machine_class("intel-6", tmp_path, new=False)
    check_machine_class("intel-6", tmp_path, new=True)
    with pytest.raises(SettingError, match="has a baseline already"):
        check_machine_class(CLASS, tmp_path, new=True)


def test_cases_that_failed_or_did_not_run_keep_their_ratios() -> None:
    kept = {"a": {"speedup.compression": 1.0}, "b": {"speedup.compression": 2.0}, "c": {"speedup.compression": 3.0}}
    results = look(case("a", 1.5), case("b", 2.5, "fail"))
    assert blessed([results], kept) == {**kept, "a": {"speedup.compression": 1.5}}


def test_what_was_not_timed_gets_no_ratio() -> None:
    assert blessed([look(case("a", None))], {}) == {}


def test_the_median_of_the_looks_is_kept_and_the_first_one_says_what_is_sound() -> None:
    looks = [look(case("a", ratio), case("b", 2.0, "fail")) for ratio in (1.5, 1.1, 1.2)]
    looks[2].cases.append(case("c", 3.0))
    looks[1].cases[0].gate.status = "fail"
    assert blessed(looks, {}) == {"a": {"speedup.compression": 1.2}}


def test_a_look_that_lacks_a_ratio_does_not_count() -> None:
    looks = [look(case("a", ratio)) for ratio in (1.5, None, 1.7)]
    assert blessed(looks, {}) == {"a": {"speedup.compression": 1.6}}


def test_speeds_have_the_median_of_the_looks_beside_cases_and_those_that_did_not_run() -> None:
    first, second = "work 0, against its peer", "work 1, against its peer"
    kept = {first: {"ratio": 9.0}, "work 2, against its peer": {"ratio": 3.0}, "b": {"speedup.compression": 2.0}}
    looks = [look(case("a", 1.5), speeds=ratios) for ratios in ([8.0, 2.0], [6.0], [7.0, 4.0])]
    new = {first: {"ratio": 7.0}, second: {"ratio": 3.0}, "a": {"speedup.compression": 1.5}}
    assert blessed(looks, kept) == {**kept, **new}


def test_speeds_are_kept_of_a_run_without_cases(tmp_path: Path) -> None:
    update_ratios([look(speeds=[8.0])], tmp_path)
    speed = Speed("work 0", 1.0, 1.0, 8.0, "its peer")
    assert TimingBaseline.read(tmp_path, CLASS).ratio(speed, "ratio") == 8.0


def test_protocols_are_kept_apart() -> None:
    results = look(case("a", 1.5, protocol="paper"), case("a", 1.2))
    assert blessed([results], {}) == {"a@paper": {"speedup.compression": 1.5}, "a": {"speedup.compression": 1.2}}


def test_ratios_are_written_beside_those_that_stay(tmp_path: Path) -> None:
    both = look(case("a", 1.5), case("b", 2.0))
    assert update_ratios([both], tmp_path).startswith("2 ")
    sentence = update_ratios([look(case("b", 2.5))], tmp_path)
    assert sentence == f"1 cases of {CLASS} have new ratios, 1 keep theirs"
    assert stored(tmp_path) == {"a": {"speedup.compression": 1.5}, "b": {"speedup.compression": 2.5}}


def test_what_changes_is_shown_before_it_is_written_the_largest_loss_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ratios = {"a": 2.0, "b": 4.0, "c": 1.0}
    update_ratios([look(*(case(name, ratio) for name, ratio in ratios.items()))], tmp_path)
    kept, shown = stored(tmp_path), []
    capsys.readouterr()

    def full(*_: object) -> None:
        shown.extend(capsys.readouterr().out.splitlines())
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(module, "write_atomically", full)
    new = look(*(case(name, ratio) for name, ratio in {**ratios, "a": 2.2, "b": 1.0}.items()))
    new.cases.append(case("d", 3.0))
    with pytest.raises(
        SettingError, match=rf"{CLASS}.json was not written \(No space left on device\); what was there"
    ):
        update_ratios([new], tmp_path)
    assert shown == [
        "accepted: b: speedup.compression 4 -> 1 (-75.0%)",
        "accepted: d: speedup.compression 3 (new)",
        "accepted: a: speedup.compression 2 -> 2.2 (+10.0%)",
    ]
    assert stored(tmp_path) == kept


def test_a_run_that_did_not_end_by_itself_changes_no_ratio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = tmp_path / "results.json"
    results.touch()
    done = SimpleNamespace(returncode=int(pytest.ExitCode.INTERRUPTED))
    monkeypatch.setattr(module, "subprocess", SimpleNamespace(run=lambda *_, **__: done))
    with pytest.raises(SettingError, match="ended with status 2, so no ratio was changed"):
        module.run_suite([], results)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clean repository of its own, whose suite writes one result."""
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)  # noqa: S607

    def run_suite(arguments: Sequence[str], results: Path) -> int:
        assert arguments[-2:] == ["-k", "global"]
        update = arguments[0] == "--snapshot-update"
        assert update is (results.name == "look-0.json")
        ratio = 1.5 if update else 1.25
        results.write_bytes(msgspec.json.encode(look(case("a", ratio), case("b", ratio, "fail"))))
        return int(update)

    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "TIMING", tmp_path / "timing")
    monkeypatch.setattr(module, "run_suite", run_suite)
    monkeypatch.setattr(module, "fix_allocator", lambda: "kept")
    monkeypatch.setattr(module, "torch", SimpleNamespace(set_num_threads=lambda _count: None))
    return tmp_path


def options(**given: bool) -> argparse.Namespace:
    usual = {"new_machine_class": False, "snapshots_only": False, "looks": 3, "device": "cpu"}
    return argparse.Namespace(**{**usual, **given})


def test_the_exit_status_is_that_of_the_suite(repository: Path) -> None:
    assert bless(options(new_machine_class=True), ["-k", "global"]) == 1
    assert stored(repository / "timing") == {"a": {"speedup.compression": 1.25}}


def test_ratios_stay_as_they_are_when_only_snapshots_are_asked_for(repository: Path) -> None:
    assert bless(options(snapshots_only=True), ["-k", "global"]) == 1
    assert not (repository / "timing").exists()


def test_nothing_runs_on_a_tree_that_is_not_clean_or_a_class_that_is_not_known(repository: Path) -> None:
    with pytest.raises(SettingError, match="no class at all"):
        bless(options(), ["-k", "nothing that the suite would accept"])
    (repository / "change.py").touch()
    with pytest.raises(SettingError, match=r"change\.py"):
        bless(options(snapshots_only=True), ["-k", "nothing that the suite would accept"])
