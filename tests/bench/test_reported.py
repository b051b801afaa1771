"""The values that the paper reports, as data."""

from dataclasses import replace

import pytest

from bench.matrix import TASKS
from bench.report.comparison import DIFFERS, NOT_REPRODUCIBLE, cases_of
from bench.report.layouts import BY_NUMBER
from bench.report.metrics import METRICS, STATISTICS
from bench.report.reported import (
    Reported,
    read_all_reported,
    read_reasons,
    read_reported,
    read_reported_compression,
)
from gnn.case import Case
from gnn.compression import L2, Dense, FineGrained, GlobalMagnitude

TARGETS = (("bbbp", "gnnnet"), ("cora-node", "spline"), ("cora-link", "ness"), ("proteins", "hgpsl"))
SPARSITIES = [round(0.1 * step, 1) for step in range(1, 10)]
RATES = [0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1e2, 1e3, 1e6]
ENTRY = Reported("2", "a.b.dense", "accuracy", 0.5, None, "", "r")


def test_every_reported_row_is_a_task_or_stands_for_cases_of_the_matrix() -> None:
    for entry in read_all_reported():
        assert entry.row in TASKS if entry.table == "1" else cases_of(entry.row), entry


def test_a_line_of_tables_7_and_8_stands_for_its_six_variants_or_for_one_case() -> None:
    rows = {entry.row for entry in read_all_reported() if entry.table in ("7", "8")}
    assert {row: len(cases_of(row)) for row in rows} == {row: 6 if ".int" in row else 1 for row in rows}


def test_every_reported_value_stands_once_in_one_of_the_seventeen_tables_and_its_metric_is_known() -> None:
    reported = read_all_reported()
    keys = [(entry.table, entry.row, entry.metric) for entry in reported]
    assert len(keys) == len(set(keys)) == 1536
    assert {entry.table for entry in reported} == BY_NUMBER.keys() == {str(number) for number in range(1, 18)}
    names = {BY_NUMBER[entry.table].beside.get(entry.metric, entry.metric) for entry in reported}
    assert names | {name for layout in BY_NUMBER.values() for name in layout.also} <= METRICS.keys()
    assert all(METRICS[name].kind for name in names)


def test_every_reason_is_for_a_reported_score() -> None:
    scores = [entry for entry in read_all_reported() if entry.metric == "accuracy"]
    for reason in read_reasons():
        protocol = "clean" if reason.protocol == "*" else reason.protocol
        difference = {"higher": 0.1, "lower": -0.1}[reason.side]
        assert any(reason.concerns(entry, protocol, difference) for entry in scores), reason
        assert not any(reason.concerns(entry, protocol, -difference) for entry in scores), reason
        assert reason.verdict in (DIFFERS, NOT_REPRODUCIBLE)


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
