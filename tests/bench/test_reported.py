"""The values that the paper reports, as data."""

from dataclasses import replace

import pytest

from bench.matrix import TABLE, TASKS
from bench.report.paper_tables import MODEL_TABLES, PRUNING_TABLES, STATISTICS
from bench.report.reported import Reported, read_reported, read_reported_compression
from bench.report.resource_table import RESOURCES
from gnn.case import Case
from gnn.compression import L2, Dense, FineGrained, GlobalMagnitude

TARGETS = (("bbbp", "gnnnet"), ("cora-node", "spline"), ("cora-link", "ness"), ("proteins", "hgpsl"))
SPARSITIES = [round(0.1 * step, 1) for step in range(1, 10)]
RATES = [0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1e2, 1e3, 1e6]
ENTRY = Reported("2", "a.b.dense", "accuracy", 0.5, None, "", "r")


def test_every_reported_row_names_a_case_of_the_matrix_or_a_task() -> None:
    ids = {row.case.id for row in TABLE}
    reported = read_reported()
    assert {entry.table for entry in reported} == {"1", *(table.number for table in MODEL_TABLES)}
    assert [entry.row for entry in reported if entry.row not in (TASKS if entry.table == "1" else ids)] == []


def test_every_reported_compression_names_a_case_of_the_matrix() -> None:
    ids = {row.case.id for row in TABLE}
    assert {entry.row for entry in read_reported_compression() if entry.table != "6"} - ids == set()


@pytest.mark.parametrize(
    ("numbers", "method", "fine_tune"),
    [
        (("9", "13"), GlobalMagnitude, False),
        (("10", "14"), GlobalMagnitude, True),
        (("11", "15"), FineGrained, False),
        (("12", "16"), FineGrained, True),
    ],
)
def test_a_table_has_every_target_at_every_sparsity_and_the_dense_model_at_none(
    numbers: tuple[str, ...], method: type, fine_tune: bool
) -> None:
    methods = [Dense(), *(method(sparsity) for sparsity in SPARSITIES)]
    expected = {Case(*target, settings, fine_tune).id for target in TARGETS for settings in methods}
    for number in numbers:
        assert {entry.row for entry in read_reported_compression() if entry.table == number} == expected


def test_every_rate_of_the_regularization_table_is_there() -> None:
    expected = {Case(*target, L2(rate)).id for target in TARGETS for rate in RATES}
    assert {entry.row for entry in read_reported_compression() if entry.table == "17"} == expected


def test_table_5_repeats_tables_10_and_12_but_for_one_cell() -> None:
    ratios = [entry for entry in read_reported_compression() if entry.metric == "algorithm1_ratio"]
    in_table_5 = {entry.row: entry.value for entry in ratios if entry.table == "5"}
    elsewhere = {entry.row: entry.value for entry in ratios if entry.table in ("10", "12")}
    assert len(in_table_5) == 72
    different = [row for row, value in in_table_5.items() if elsewhere[row] != value]
    assert different == ["proteins.hgpsl.global.s0.9.ft"]


def test_the_extremes_of_table_6_are_those_of_table_15_and_one_sparsity_above_those_of_table_13() -> None:
    reported = read_reported_compression()
    values = {(entry.table, entry.row, entry.metric): entry.value for entry in reported}
    for entry in [entry for entry in reported if entry.table == "6" and entry.text]:
        metric = entry.metric.split(".")[0]
        number, lower = ("15", 0.0) if entry.row.endswith("fine-grained") else ("13", 0.1)
        sparsity = round(float(entry.text) - lower, 1)
        row = f"{entry.row}.s{sparsity}" if sparsity else f"{entry.row.rpartition('.')[0]}.dense"
        printed_to = 1.0 if metric == "memory_mb" else 0.1
        assert values[number, row, metric] == pytest.approx(entry.value, abs=0.51 * printed_to), entry


def test_every_reported_value_has_a_column_and_stands_once() -> None:
    tables = (*MODEL_TABLES, *PRUNING_TABLES)
    columns = {table.number: {column.metric for column in table.columns} for table in tables}
    columns |= {"1": set(STATISTICS), "5": {"algorithm1_ratio"}}
    metrics = [resource.metric for resource in RESOURCES if resource.metric]
    columns["6"] = {f"{name}.{kind}" for name in metrics for kind in ("max", "min", "base")}
    columns["17"] = {"accuracy", "energy_j", "cpu_percent", "memory_mb"}
    for reported in (read_reported(), read_reported_compression()):
        assert [entry for entry in reported if entry.metric not in columns[entry.table]] == []
        keys = [(entry.table, entry.row, entry.metric) for entry in reported]
        assert len(keys) == len(set(keys))


def test_a_reported_value_is_a_number_or_a_text() -> None:
    for entry in (*read_reported(), *(entry for entry in read_reported_compression() if entry.table != "6")):
        assert (entry.value is None) == bool(entry.text), entry
        assert entry.std is None or entry.value is not None, entry


def test_every_task_of_table_1_has_all_its_statistics() -> None:
    reported = [entry for entry in read_reported() if entry.table == "1"]
    for task in {entry.row for entry in reported}:
        assert {entry.metric for entry in reported if entry.row == task} == set(STATISTICS)


def test_a_row_of_the_file_is_read() -> None:
    row = {"table": "2", "row": "a.b.dense", "metric": "accuracy", "value": "0.5", "std": "", "text": "", "remark": "r"}
    assert Reported.parse(row) == ENTRY
    row |= {"value": "", "text": "Varies"}
    assert Reported.parse(row) == replace(ENTRY, value=None, text="Varies")


@pytest.mark.parametrize(
    ("changes", "shown"), [({}, "0.50"), ({"std": 0.1}, "0.50 ± 0.10"), ({"value": None, "text": "Varies"}, "Varies")]
)
def test_a_value_is_shown_with_its_deviation_or_as_its_text(changes: dict[str, object], shown: str) -> None:
    assert replace(ENTRY, **changes).formatted(".2f") == shown
