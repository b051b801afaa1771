"""What continuous integration shows: Markdown within GitHub's limits, a badge, and how runs went on."""

import json
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from bench.report.ci import LONGEST_COMMENT, badge, ci_files, escaped, pull_request_comment, step_summary
from bench.report.front import Front, front
from bench.report.history import history
from bench.report.moved import Move
from fixtures.findings import FAIL
from fixtures.movement import Movement
from fixtures.paired import PairedDifference
from gnn.errors import GnnError
from tests.bench.made_up_records import changed, made_up_record, made_up_results

NASTY = "a|b.<img src=x onerror=alert(1)>.[link](https://evil.example) @team `x`"
RED = changed(
    made_up_record("bbbp.gin.global.s0.9"),
    gate={"status": "fail", "reasons": [f"{NASTY}: bytes grew"], "red": True},
)


def a_move(case: str) -> Move:
    return Move(case, 4, Movement("encoded_bytes", "higher", 10.0, 20.0, PairedDifference((), 10.0, None), 0.0, FAIL))


@pytest.fixture
def red() -> Front:
    """The front of a red run with one value that moved, of a case with a nasty name."""
    found = front(made_up_results(RED, broken=[{"test": NASTY}]))
    return replace(found, moved=replace(found.moved, moves=(a_move(NASTY),)))


def test_the_verdict_is_first_then_what_moved_and_the_rest_is_folded(red: Front) -> None:
    text = step_summary(red)
    assert text.startswith("## RED under --gate enforce: 2 failed, 1 of them without a result")
    before, _, folded = text.partition("<details>")
    assert "| encoded\\_bytes |" in before
    assert "bytes grew" in folded
    assert folded.count("</details>") == text.count("<details>") == 3


def test_nothing_of_results_is_markup(red: Front) -> None:
    text = step_summary(red)
    assert "<img" not in text
    assert "[link](" not in text
    assert "@team" not in text
    assert "https://evil" not in text
    (row,) = [line for line in text.splitlines() if line.startswith("| a")]
    assert row.replace("\\|", "").count("|") == 9
    assert escaped("two\nlines") == "two lines"


def test_a_comment_stays_within_what_github_takes(red: Front) -> None:
    many = replace(red, moved=replace(red.moved, moves=tuple(a_move(f"case.{number}") for number in range(2000))))
    text = pull_request_comment(many)
    assert LONGEST_COMMENT / 2 < len(text) < LONGEST_COMMENT
    assert text.startswith("## RED")
    assert "Left out" in text
    reasons = {f"case.{number}": ("it grew",) for number in range(9000)}
    folded = pull_request_comment(replace(red, moved=replace(red.moved, reasons=reasons)))
    assert len(folded) < LONGEST_COMMENT
    assert folded.count("<details>") == folded.count("</details>")


def test_the_badge_is_what_shields_io_reads(red: Front) -> None:
    assert json.loads(badge(red)) == {
        **{"schemaVersion": 1, "label": "compression gate", "message": "1 fail", "color": "red"},
    }
    green = front(made_up_results(made_up_record("bbbp.gin.dense")))
    assert json.loads(badge(green))["color"] == "brightgreen"
    assert set(ci_files(green)) == {"summary.md", "comment.md", "badge.json"}


def test_runs_of_a_folder_are_told_in_the_order_of_their_dates(tmp_path: Path) -> None:
    case = made_up_record("bbbp.gin.global.s0.9", speedup={"compression": None})
    for name, date, accuracy, protocol in (
        ("c", "2026-01-01T00:00:00+00:00", 0.8, "clean"),
        ("a", "2026-02-01T00:00:00+00:00", 0.9, "clean"),
        ("b", "2026-01-15T00:00:00+00:00", 0.1, "paper"),
    ):
        commit = {"sha": name * 40, "dirty": name == "a"}
        run = made_up_results(changed(case, accuracy={"mean": accuracy}), date=date, protocol=protocol, commit=commit)
        (tmp_path / f"{name}.json").write_bytes(msgspec.json.encode(run))
    (tmp_path / "d.json").write_text("{")
    found = history(tmp_path)
    rows = [row for row in found.table.rows if row[5] == "accuracy"]
    assert [row[2] for row in rows] == ["ccccccccc", "aaaaaaaaa + changes"]
    assert [row[7] for row in rows] == pytest.approx([1.0, 1.125])
    assert [note.split(":")[0] for note in found.left_out] == ["left out"] * 2
    assert "d.json is not a file that --results wrote" in found.left_out[0]
    figure = found.figure()
    assert "the 1 that moved most" in figure.caption
    assert figure.chart.to_dict()["concat"][0]["title"] == "accuracy"


def test_a_history_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GnnError, match="holds no file that --results wrote"):
        history(tmp_path)
    with pytest.raises(GnnError, match="is no folder"):
        history(tmp_path / "none")
