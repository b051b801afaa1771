"""Tables 6 and 9 to 17 of the paper, from records made by hand."""

import pytest

from bench.report.columns import FLAGGED, accuracy_differs
from bench.report.paper_tables import PRUNING_TABLES, paper_tables
from bench.report.reported import Reported
from bench.report.resource_table import ENERGIES_DIFFER, RESOURCES_DIFFER, UNTRAINED
from fixtures.record import Record
from tests.bench.made_up_records import cells, made_up_record, notes, tables

PRUNED = "cora-node.spline.global.s0.5"
RATE = "bbbp.gnnnet.l2.r1e-3"


def tables_of(*records: Record) -> dict[str, str]:
    return tables(paper_tables(records, {}))


def row_of_table_6(table: str, group: str, resource: str) -> list[str]:
    """The resource and its cells in the row of a model and a method."""
    (line,) = [line for line in table.splitlines() if line.startswith(f"{group} ") and f"  {resource}  " in line]
    return [cell.strip() for cell in line.split("  ") if cell.strip()][1:]


@pytest.mark.parametrize(
    ("case_id", "numbers"),
    [
        ("cora-node.spline.dense", {"2", "3", "9", "11", "13", "15"}),
        ("cora-node.spline.dense.ft", {"10", "12", "14", "16"}),
        ("proteins.hgpsl.global.s0.3", {"6", "9", "13"}),
        ("proteins.hgpsl.global.s0.3.ft", {"5", "10", "14"}),
        ("bbbp.gnnnet.fine-grained.s0.7", {"6", "11", "15"}),
        ("cora-link.ness.fine-grained.s0.7.ft", {"5", "12", "16"}),
        ("cora-link.ness.l2.r0", {"17"}),
        ("cora-link.ness.l2.r0.1.s0.9", set()),
        ("bbbp.gin.global.s0.5", set()),
    ],
)
def test_a_case_stands_in_the_tables_of_its_method(case_id: str, numbers: set[str]) -> None:
    assert tables_of(made_up_record(case_id)).keys() == numbers


def test_accuracy_size_and_inference_stand_beside_what_the_paper_reports() -> None:
    table = tables_of(made_up_record(PRUNED))["9"]
    accuracy, seeds, ratio, decodable, inference = cells(table, PRUNED)[1:]
    assert accuracy == "0.88 ± 0.01 / 0.883 ± 0.012"
    assert seeds == "4"
    assert ratio == "1.98 / 2.50"
    assert decodable == "4.00"
    assert inference == "2.000 ± 0.000 / 0.0003"


@pytest.mark.parametrize(
    ("number", "case_id", "energy"),
    [
        ("13", PRUNED, "30.8 ± 3.5"),
        ("14", f"{PRUNED}.ft", "29.2 ± 3.8"),
        ("15", "cora-node.spline.fine-grained.s0.5", "27.7 ± 3.9"),
        ("16", "cora-node.spline.fine-grained.s0.5.ft", "28.0 ± 3.4"),
    ],
)
def test_resources_name_the_source_of_each_energy(number: str, case_id: str, energy: str) -> None:
    table = tables_of(made_up_record(case_id))[number]
    assert cells(table, case_id)[1:3] == [f"{energy} / 0.0037 (estimate)", "1,234.5 (rapl)"]
    assert {RESOURCES_DIFFER, ENERGIES_DIFFER} <= set(notes(table))


def test_processor_and_memory_stand_beside_what_the_paper_reports() -> None:
    table = tables_of(made_up_record(PRUNED))["13"]
    assert cells(table, PRUNED)[3:] == ["10.5 ± 3.7 / 99", "5,744 ± 260 / 612"]


def test_a_small_training_energy_is_not_rounded_to_nothing_and_an_estimate_is_called_one() -> None:
    record = made_up_record(PRUNED, training_energy_j={"value": 0.0123, "source": "estimate"})
    found = tables_of(record)
    assert cells(found["13"], PRUNED)[2] == "0.0123 (estimate)"
    assert row_of_table_6(found["6"], PRUNED.removesuffix(".s0.5"), "training energy J")[1] == "0.0123 (0.5, estimate)"


def test_what_was_not_measured_is_a_dash() -> None:
    empty = {
        "latency_s": {"compressed": None},
        "energy_j": {"value": None, "source": "none"},
        "training_energy_j": {"value": None, "source": "none"},
        "cpu_percent": None,
        "memory_bytes": {"peak_rss": None},
    }
    found = tables_of(made_up_record(PRUNED, **empty))
    assert cells(found["9"], PRUNED)[-1] == "2.000 ± 0.000 / -"
    assert [cell.rpartition("/ ")[2] for cell in cells(found["13"], PRUNED)[1:]] == ["-"] * 4
    assert "6" not in found


@pytest.mark.parametrize(
    ("reported", "reported_std", "mean", "std", "seeds", "differs"),
    [
        (0.9, 0.01, 0.934, 0.02, 4, False),  # 0.01 + 2 * 0.02 / 2 + 0.005
        (0.9, 0.01, 0.936, 0.02, 4, True),
        (0.9, 0.01, 0.864, 0.02, 4, True),
        (0.9, 0.01, 0.936, 0.02, 1, False),  # more seeds make the difference clearer
        (0.9, None, 0.904, None, 1, False),
        (0.9, None, 0.906, None, 1, False),
        (None, None, 0.1, 0.0, 4, False),
    ],
)
def test_a_difference_counts_beyond_deviation_error_and_rounding(
    reported: float | None, reported_std: float | None, mean: float, std: float | None, seeds: int, differs: bool
) -> None:
    entry = Reported("9", PRUNED, "accuracy", reported, reported_std, "" if reported else "-", "")
    record = made_up_record(PRUNED, seeds=list(range(seeds)), accuracy={"mean": mean, "std": std})
    assert accuracy_differs(entry, record) is differs


def test_a_difference_has_a_star_and_the_star_is_explained() -> None:
    table = tables_of(made_up_record(PRUNED, accuracy={"mean": 0.7, "std": 0.01}))["9"]
    assert cells(table, PRUNED)[1] == "0.88 ± 0.01 / 0.700 ± 0.010 *"
    assert FLAGGED in notes(table)


def test_a_value_that_is_no_ratio_is_shown_as_printed() -> None:
    table = tables_of(made_up_record("proteins.hgpsl.dense"))["11"]
    assert cells(table, "proteins.hgpsl.dense")[3] == "306795 / 2.50"
    assert any("bytes of the dense file" in note for note in notes(table))


def test_extremes_are_those_of_the_sparsities_that_were_run_without_fine_tuning() -> None:
    def measured(case_id: str, cpu_percent: float) -> Record:
        return made_up_record(case_id, cpu_percent=cpu_percent)

    start = "cora-node.spline.global"
    table = tables_of(
        measured("cora-node.spline.dense", 50.0),
        *(measured(f"{start}.s{s}", cpu) for s, cpu in ((0.5, 70.0), (0.8, 90.0), (0.9, 80.0))),
        measured(f"{start}.s0.7.ft", 1000.0),
        measured(f"{start}.s0.7.stored-int8", 1000.0),
        measured("cora-node.spline.fine-grained.s0.7", 1000.0),
    )["6"]
    assert row_of_table_6(table, start, "CPU %") == ["CPU %", "15.7 (0.8) / 90 (0.8)", "5 (0.4) / 70 (0.5)", "5.3 / 50"]


def test_extremes_of_energies_name_the_source_of_each_value() -> None:
    start = "cora-node.spline.global"

    def measured(case_id: str, value: float, source: str) -> Record:
        return made_up_record(case_id, energy_j={"value": value, "source": source})

    table = tables_of(
        measured("cora-node.spline.dense", 0.5, "estimate"),
        measured(f"{start}.s0.5", 0.25, "rapl"),
        measured(f"{start}.s0.8", 0.75, "estimate"),
    )["6"]
    ours = [cell.rpartition("/ ")[2] for cell in row_of_table_6(table, start, "energy J")[1:]]
    assert ours == ["0.75 (0.8, estimate)", "0.25 (0.5, rapl)", "0.5 (estimate)"]
    training = row_of_table_6(table, start, "training energy J")[1:]
    assert training == ["1,234.5 (0.8, rapl)", "1,234.5 (0.5, rapl)", "1,234.5 (rapl)"]
    assert {RESOURCES_DIFFER, ENERGIES_DIFFER, UNTRAINED} <= set(notes(table))


def test_extremes_without_a_dense_case_have_a_dash_for_it() -> None:
    table = tables_of(made_up_record(PRUNED))["6"]
    (line,) = [line for line in table.splitlines() if "memory MB" in line]
    assert line.endswith("5,638 / -")


def test_regularization_is_shown_with_what_is_near_zero_and_what_pruning_costs() -> None:
    pruned = made_up_record(f"{RATE}.s0.9", accuracy={"mean": 0.801, "std": 0.02})
    found = tables_of(made_up_record(RATE), pruned, made_up_record("bbbp.gnnnet.l2.r0"))["17"]
    assert cells(found, RATE)[1:5] == ["0.84 ± 0.02 / 0.883 ± 0.012 *", "4", "6.2%", "0.801 ± 0.020"]
    assert cells(found, RATE)[5:] == ["31.6 ± 3.1 / 0.0037 (estimate)", "11.7 ± 3.0 / 99", "28,739 ± 1,007 / 612"]
    assert cells(found, "bbbp.gnnnet.l2.r0")[4] == "-"


def test_every_pruning_table_says_what_it_is_about() -> None:
    titles = {table.number: table.title for table in PRUNING_TABLES}
    assert titles["9"] == titles["13"] == "global pruning, reported / measured"
    assert titles["12"] == titles["16"] == "fine-grained pruning, fine-tuned, reported / measured"
    assert titles.keys() == {str(number) for number in range(9, 17)}
