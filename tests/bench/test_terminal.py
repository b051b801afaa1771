"""The table that ends a run, from records made by hand."""

from typing import Any

import pytest

from bench.report.terminal import HEADERS, summary_table

Record = dict[str, Any]


def record(case_id: str, **changes: object) -> Record:
    return {
        "id": case_id,
        "seeds": [0, 1, 2],
        "accuracy": {"mean": 0.8834, "std": 0.0123},
        "accuracy_drop": {"mean": 0.0166},
        "size_bytes": {"encoded": 123_456.7},
        "size_ratio": 0.4,
        "latency_s": {"compressed": 0.00025, "batch": "full graph, 4 nodes", "statistic": "the statistic"},
        "speedup": {"runtime": 20.0, "compression": 1.504},
        "energy_j": {"value": 0.00366, "source": "rapl"},
        "gate": {"status": "pass", "reasons": []},
        **changes,
    }


def judged(case_id: str, status: str, *reasons: str) -> Record:
    return record(case_id, gate={"status": status, "reasons": list(reasons)})


def rows(table: str) -> list[list[str]]:
    """The cells of the table's rows: columns are two or more spaces apart."""
    lines = table.split("\n\n", maxsplit=1)[0].splitlines()[2:]
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]


def test_a_row_holds_the_numbers_of_its_case_and_their_units() -> None:
    assert rows(summary_table([record("a.b")])) == [
        ["a.b", "0.883 ± 0.012 (-0.017)", "123,457 (2.50x)", "0.250 (1.50x)", "0.00366 (rapl)", "pass"]
    ]
    for header in HEADERS:
        assert header in summary_table([record("a.b")]).splitlines()[0]


def test_there_is_one_row_per_case_in_the_order_of_the_ids() -> None:
    table = summary_table([record("b"), judged("c", "fail"), record("a")])
    assert [row[0] for row in rows(table)] == ["a", "b", "c"]
    assert [row[-1] for row in rows(table)] == ["pass", "pass", "fail"]


def test_energy_that_was_not_measured_is_a_dash() -> None:
    (row,) = rows(summary_table([record("a", energy_j={"value": None, "source": "none"})]))
    assert row[4] == "- (none)"


def test_latency_and_speedup_that_were_not_measured_are_dashes() -> None:
    latency_s = {**record("a")["latency_s"], "compressed": None}
    unmeasured = record("a", latency_s=latency_s, speedup={"runtime": None, "compression": None})
    (row,) = rows(summary_table([unmeasured]))
    assert row[3] == "- (-x)"
    assert row[:3] == rows(summary_table([record("a")]))[0][:3]


def test_a_runtime_that_was_not_measured_is_left_out_of_the_notes() -> None:
    unmeasured = record("b", speedup={"runtime": None, "compression": 1.0})
    assert "runtime itself" not in summary_table([unmeasured])
    assert "runtime itself is 20.0 times" in summary_table([record("a"), unmeasured])


def test_the_deviation_of_one_seed_is_left_out() -> None:
    (row,) = rows(summary_table([record("a", accuracy={"mean": 0.9, "std": None})]))
    assert row[1] == "0.900 (-0.017)"


@pytest.mark.parametrize(("drop", "shown"), [(0.0, "(+0.000)"), (-0.02, "(+0.020)"), (0.02, "(-0.020)")])
def test_a_gain_has_a_plus(drop: float, shown: str) -> None:
    (row,) = rows(summary_table([record("a", accuracy_drop={"mean": drop})]))
    assert row[1].endswith(shown)


def test_estimates_are_explained_only_where_there_are_any() -> None:
    estimate = record("b", energy_j={"value": 0.001, "source": "estimate"})
    assert "no independent evidence" not in summary_table([record("a")])
    assert "no independent evidence" in summary_table([record("a"), estimate])


def test_the_notes_say_how_the_numbers_came_about() -> None:
    slower = record("b", seeds=[0], speedup={"runtime": 30.0, "compression": 1.0})
    fastest = record("c", speedup={"runtime": 90.0, "compression": 1.0})
    table = summary_table([record("a"), slower, fastest])
    for words in ("1 or 3 seeds", "full graph, 4 nodes", "one thread", "the statistic", "30.0 times", "eager FP32"):
        assert words in table, words


def test_the_notes_name_every_batch_once() -> None:
    def batch(words: str) -> Record:
        return record(words, latency_s={**record("a")["latency_s"], "batch": words})

    table = summary_table([batch("a test pairs"), batch("a test graphs"), batch("a test pairs")])
    assert "latency: a test graphs or a test pairs, one thread" in table


def test_complaints_are_listed_below_the_table_in_the_order_of_the_cases() -> None:
    table = summary_table([judged("b", "fail", "b is worse"), judged("a", "not-measured", "a has none", "a has less")])
    assert table.endswith("\n\na has none\na has less\nb is worse")


def test_failures_that_pytest_has_printed_are_not_repeated() -> None:
    records = [judged("a", "not-measured", "a has none"), judged("b", "fail", "b is worse")]
    table = summary_table(records, failures_shown=True)
    assert "a has none" in table
    assert "b is worse" not in table


def test_without_complaints_the_notes_end_the_table() -> None:
    assert summary_table([record("a")]).endswith("(no compression in that)")
