"""The tables of the report, from records made by hand and from a made-up run of everything."""

from collections.abc import Callable

import pytest

from bench.report.paper_tables import compared_tables, paper_tables
from bench.report.reported import read_all_reported
from bench.report.table import Table
from fixtures.record import Record
from tests.bench.made_up_records import made_up_record, made_up_results
from tests.bench.made_up_run import made_up_run

SPLINE = "cora-node.spline.dense"
PRUNED = "cora-node.spline.global.s0.5"


def table(number: int, *records: Record, **changes: object) -> Table:
    results = made_up_results(*records, **changes)
    return {table.key: table for table in compared_tables(results)}[f"table-{number}"]


def row(found: Table, name: str) -> dict[str, str]:
    (cells,) = [cells for cells in found.rows if cells[0] == name]
    return dict(zip(found.headers, found.shown(cells), strict=True))


def test_all_seventeen_are_there_with_every_reported_row_also_when_nothing_was_run() -> None:
    found = compared_tables(made_up_results())
    assert [table.key for table in found] == [f"table-{number}" for number in range(1, 18)]
    for table in found:
        number = table.key.removeprefix("table-")
        expected = dict.fromkeys(entry.row for entry in read_all_reported() if entry.table == number)
        assert [cells[0] for cells in table.rows] == list(expected)
        assert all(len(cells) == len(table.headers) == len(set(table.headers)) for cells in table.rows)
        assert all("not run: " in " ".join(map(str, cells)) for cells in table.rows)


def test_only_what_was_run_is_there_on_demand() -> None:
    found = compared_tables(made_up_results(made_up_record(PRUNED)), rows_not_run=False)
    assert {table.key: len(table.rows) for table in found} == {
        **{"table-1": 1, "table-6": 1, "table-9": 1},
        "table-13": 1,
    }


@pytest.mark.parametrize("form", [Table.text, Table.markdown, Table.csv])
def test_every_table_of_a_run_of_everything_can_be_read(form: Callable[[Table], str]) -> None:
    found = paper_tables(made_up_run())
    assert [table.key for table in found[17:]] == ["dense-models", "tickets", "all-cases"]
    assert all(form(table) for table in found)


def test_reported_and_measured_stand_side_by_side_with_difference_and_verdict() -> None:
    accuracy = {"mean": 0.896, "std": 0.004}
    found = row(table(2, made_up_record(SPLINE, accuracy=accuracy)), SPLINE)
    assert {header: found[header] for header in found if header.startswith("accuracy")} == {
        "accuracy, reported": "0.872 ± 0.008",
        "accuracy, measured": "0.896 ± 0.004",
        "accuracy, difference": "+0.024 [+0.008, +0.040]",
        "accuracy, p": "0.009",
        "accuracy, verdict": "differs: reason unknown",
    }
    assert found["epochs, measured"] == "60 (of 160)"
    assert found["seeds"] == "4"


def test_the_note_on_a_score_counts_verdicts_and_means_only_cases_both_have() -> None:
    records = [made_up_record(case_id, accuracy={"mean": 0.9}) for case_id in (SPLINE, "cora-node.ssp.dense")]
    (note,) = [note for note in table(2, *records).notes if note.startswith("accuracy: ")]
    assert note.endswith("; mean over the 2 cases both have: 0.840 reported, 0.900 measured")
    assert "5 not run" in note


def test_resources_are_told_beside_those_of_the_dense_model() -> None:
    pruned = made_up_record(PRUNED, energy_j={"value": 0.0122}, cpu_percent=None)
    found = table(13, made_up_record(SPLINE), pruned)
    cells = row(found, PRUNED)
    assert cells["energy J, reported"] == "30.8 ± 3.45 (1.22x)"
    assert cells["energy J, measured"] == "0.0122 (estimate, 3.33x)"
    assert cells["CPU %, measured"] == "not measured"
    assert row(found, SPLINE)["energy J, measured"] == "0.00366 (estimate)"
    for note in (
        "CPU %: not measured: this run recorded none (cases: 1)",
        "energy J: more than 5% above the dense model in 1 of the 1 cases both have as reported, in 1 as measured",
    ):
        assert note in found.notes
    assert any(note.startswith("energy J, CPU %: not comparable: ") for note in found.notes)


def test_counts_have_one_verdict_a_row() -> None:
    statistics = {"graphs": 1, "nodes": 2708, "edges": 5278, "features": 1433, "labels": 6}
    data = {"cora-node": {"source": "root", "statistics": statistics}}
    found = table(1, data=data)
    assert row(found, "cora-node")["verdict"] == "labels: differs: reason unknown"
    assert row(found, "cora-link")["verdict"] == "not run"


def test_a_remark_is_a_note_where_the_verdict_does_not_say_it() -> None:
    found = table(7)
    assert "bbbp.gin.a2q, accuracy: below the .765 of the majority class" in found.notes
    assert not any(note.startswith("proteins, ") for note in table(1).notes)


def test_the_case_that_stands_for_a_line_is_named() -> None:
    name = "bbbp.gin.qat.int8 (gc-mom)"
    assert row(table(7, made_up_record("bbbp.gin.qat.int8.gc-mom")), name)["seeds"] == "4"
