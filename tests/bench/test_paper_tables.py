"""The paper's tables, with what it reports beside what was measured, from records made by hand."""

from collections.abc import Mapping

import pytest

from bench.report import paper_tables as module
from bench.report.paper_tables import STATISTICS, paper_tables
from bench.report.reported import Reported, read_reported
from fixtures.record import Record, Scores
from tests.bench.made_up_records import cells, made_up_record
from tests.bench.made_up_records import tables as tables_of

Statistics = Mapping[str, Mapping[str, int | str]]
CORA = {"graphs": 1, "nodes": 2708, "edges": 5278, "features": 1433, "labels": 7}
PROTEINS = {
    "graphs": 1113,
    "nodes": 43471,
    "edges": 81044,
    "features": 4,
    "labels": 2,
    "nodes_per_graph": "4-620",
    "edges_per_graph": "5-1049",
}


def record(case_id: str, **changes: object) -> Record:
    return made_up_record(case_id, parameters=69143, state_entries=69150, **changes)


def tables(*records: Record, statistics: Statistics | None = None) -> dict[str, str]:
    """The text of each table by its number."""
    return tables_of(paper_tables(records, statistics or {}))


def header(table: str) -> list[str]:
    return [cell.strip() for cell in table.splitlines()[1].split("  ") if cell.strip()]


def test_what_the_paper_reports_stands_before_what_was_measured() -> None:
    table = tables(record("cora-node.spline.dense"))["2"]
    row = dict(zip(header(table), cells(table, "cora-node.spline.dense"), strict=False))
    assert row["accuracy (ROC-AUC for links)"] == "0.872 ± 0.008 / 0.883 ± 0.012"
    assert row["seeds"] == "4"
    assert row["epochs (kept, run)"] == "100 / 60, 160"
    assert row["inference s"] == "0.004 ± 0.000 / 0.0003"
    assert row["training CPU-s"] == "12.3"


def test_the_deviation_of_one_seed_and_a_latency_that_was_not_measured_are_left_out() -> None:
    unmeasured = record(
        "cora-node.gcn.dense", seeds=[0], accuracy={"mean": 0.9, "std": None}, latency_s={"compressed": None}
    )
    row = cells(tables(unmeasured)["2"], "cora-node.gcn.dense")
    assert row[1:3] == ["0.712 ± 0.017 / 0.900", "1"]
    assert row[4] == "0.009 ± 0.007 / -"


def test_other_scores_stand_at_the_end_of_the_row() -> None:
    others = {
        name: Scores([], mean, None) for name, mean in (("average_precision", 0.9561), ("accuracy_at_one_half", 0.5))
    }
    row = cells(tables(record("cora-link.ness.dense", other_scores=others))["2"], "cora-link.ness.dense")
    assert row[-1] == "average precision 0.956, accuracy at one half 0.500"


def test_parameters_are_compared_and_buffers_counted() -> None:
    table = tables(record("cora-node.spline.dense"))["3"]
    assert cells(table, "cora-node.spline.dense") == ["cora-node.spline.dense", "69,143 / 69,143", "69,150"]


def test_a_row_is_there_only_where_its_case_was_run() -> None:
    found = tables(record("proteins.gin.dense"), record("cora-node.ssp.dense"), record("bbbp-scaffold.gnnnet.dense"))
    assert found.keys() == {"2", "3", "4"}
    rows = {
        number: [line.split()[0] for line in table.splitlines()[3:] if line[:2] != "- "]
        for number, table in found.items()
    }
    assert rows == {"2": ["cora-node.ssp.dense"], "3": ["proteins.gin.dense"], "4": ["proteins.gin.dense"]}


def test_without_a_case_of_the_paper_there_is_no_table() -> None:
    pruned = record("cora-node.gcn.global.s0.5.ft")
    assert paper_tables([], {}) == paper_tables([pruned, record("bbbp-scaffold.gnnnet.dense")], {}) == ""


@pytest.mark.parametrize("task", ["cora-node", "cora-link", "proteins"])
def test_planted_data_gives_no_table(task: str) -> None:
    records = [record(f"planted-{entry.row}") for entry in read_reported() if entry.row.startswith(f"{task}.")]
    assert records
    assert paper_tables(records, {f"planted-{task}": CORA}) == ""


def test_the_data_is_compared_statistic_by_statistic() -> None:
    table = tables(statistics={"cora-node": CORA})["1"]
    assert header(table) == ["data", *STATISTICS]
    assert cells(table, "cora-node") == [
        "cora-node",
        "1 / 1",
        "2,708 / 2,708",
        "5,278 / 5,278",
        "1,433 / 1,433",
        "7 / 7",
    ]


def test_sizes_of_one_graph_are_what_the_papers_ranges_can_be_compared_with() -> None:
    table = tables(statistics={"proteins": PROTEINS, "bbbp-scaffold": PROTEINS})["1"]
    row = cells(table, "proteins")
    assert row[2:5] == ["100-500 / 43,471", "Varies / 81,044", "29 / 4"]
    assert row[-1] == "nodes per graph 4-620, edges per graph 5-1049"
    assert "bbbp" not in table


def test_remarks_are_shown_below_their_table_and_only_for_its_rows() -> None:
    proteins = tables(statistics={"proteins": PROTEINS})["1"]
    remarks = [entry for entry in read_reported() if entry.remark and entry.row == "proteins"]
    assert remarks
    assert proteins.splitlines()[-len(remarks) :] == [
        f"- proteins, {entry.metric}: {entry.remark}" for entry in remarks
    ]
    assert "- " not in tables(statistics={"cora-node": CORA})["1"].split("7 / 7")[1]


def test_a_case_table_shows_the_remarks_of_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    remarked = [
        Reported(table, row, "accuracy", 0.5, None, "", f"remark {table}")
        for table, row in (("2", "cora-node.gcn.dense"), ("4", "bbbp.gin.dense"), ("2", "cora-node.ssp.dense"))
    ]
    monkeypatch.setattr(module, "read_reported", lambda: tuple(remarked))
    found = tables(record("cora-node.gcn.dense"), record("bbbp.gin.dense"))
    assert found["2"].splitlines()[4:] == ["- cora-node.gcn.dense, accuracy: remark 2"]
    assert found["4"].splitlines()[4:] == ["- bbbp.gin.dense, accuracy: remark 4"]
