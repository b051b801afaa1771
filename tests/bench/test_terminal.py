"""The table that ends a run, from records made by hand."""

import pytest

from bench.report.terminal import (
    HEADERS,
    UNEXPLAINED,
    compared_sentence,
    measuring_sentence,
    summary_table,
    tracing_sentence,
)
from tests.bench.made_up_records import Record, made_up_record


def record(case_id: str, **changes: object) -> Record:
    return made_up_record(
        case_id,
        **{
            "size_bytes": {"encoded": 123_456.7},
            "size_ratio": 0.4,
            "energy_j": {"value": 0.00366, "source": "rapl"},
            **changes,
        },
    )


def judged(case_id: str, status: str, *reasons: str) -> Record:
    return record(case_id, gate={"status": status, "reasons": list(reasons), "improvements": []})


def rows(table: str) -> list[list[str]]:
    """The cells of the table's rows: columns are two or more spaces apart."""
    lines = table.split("\n\n", maxsplit=1)[0].splitlines()[2:]
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]


def only_row(record: Record) -> list[str]:
    """The row of the only case of a table, which stands below its model."""
    _, row = rows(summary_table([record]))
    return row


def test_a_row_holds_the_numbers_of_its_case_and_their_units() -> None:
    assert rows(summary_table([record("a.b.dense")])) == [
        ["a.b:"],
        ["a.b.dense", "0.883 ± 0.012 (-0.017)", "123,457 (2.50x)", "0.250 (1.50x)", "0.00366 (rapl)", "pass"],
    ]
    for header in HEADERS:
        assert header in summary_table([record("a.b.dense")]).splitlines()[0]


def test_cases_stand_below_their_model_in_the_order_of_their_ids() -> None:
    found = [
        record("a.c.dense"),
        judged("a.b.global.s0.9.ft", "fail"),
        record("a.b-c.dense"),
        record("a.b.dense"),
        record("a.b.global.s0.5"),
    ]
    of_first = ["a.b:", "a.b.dense", "a.b.global.s0.5", "a.b.global.s0.9.ft"]
    names = [*of_first, "a.b-c:", "a.b-c.dense", "a.c:", "a.c.dense"]
    table = rows(summary_table(found))
    assert [row[0] for row in table] == names
    assert [row[-1] for row in table if not row[0].endswith(":")] == ["pass", "pass", "fail", "pass", "pass"]


def test_energy_that_was_not_measured_is_a_dash() -> None:
    assert only_row(record("a.b.dense", energy_j={"value": None, "source": "none"}))[4] == "-"


def unmeasured(case_id: str, **changes: object) -> Record:
    latency_s = {**record(case_id)["latency_s"], "compressed": None}
    return record(case_id, latency_s=latency_s, speedup={"runtime": None, "compression": None}, **changes)


def test_latency_and_speedup_that_were_not_measured_are_dashes() -> None:
    row = only_row(unmeasured("a.b.dense"))
    assert row[3] == "-"
    assert row[:3] == only_row(record("a.b.dense"))[:3]


def test_a_model_without_a_twin_has_a_latency_and_no_speedup() -> None:
    assert only_row(record("a.b.dense", speedup={"runtime": None, "compression": None}))[3] == "0.250"


def test_the_reasons_for_latencies_that_were_not_measured_are_counted() -> None:
    reason = {"latency_s.compressed": "timed once per model", "speedup.runtime": "another"}
    table = summary_table(
        [
            record("a.b.dense", not_applicable={"latency_s.eager": "another"}),
            *(unmeasured(f"a.b.global.s0.{digit}", not_applicable=reason) for digit in (1, 2)),
            unmeasured("a.c.dense"),
        ]
    )
    assert "latency of 2 cases was not measured: timed once per model" in table
    assert f"latency of 1 case was not measured: {UNEXPLAINED}" in table
    assert "another" not in table


def test_a_runtime_that_was_not_measured_is_left_out_of_the_notes() -> None:
    without = record("b.b.dense", speedup={"runtime": None, "compression": 1.0})
    assert "runtime itself" not in summary_table([without])
    assert "runtime itself is 20.0 times" in summary_table([record("a.b.dense"), without])


def test_the_deviation_of_one_seed_is_left_out() -> None:
    assert only_row(record("a.b.dense", accuracy={"mean": 0.9, "std": None}))[1] == "0.900 (-0.017)"


@pytest.mark.parametrize(("drop", "shown"), [(0.0, "(+0.000)"), (-0.02, "(+0.020)"), (0.02, "(-0.020)")])
def test_a_gain_has_a_plus(drop: float, shown: str) -> None:
    assert only_row(record("a.b.dense", accuracy_drop={"mean": drop}))[1].endswith(shown)


def test_estimates_are_explained_only_where_there_are_any() -> None:
    estimate = record("b.b.dense", energy_j={"value": 0.001, "source": "estimate"})
    assert "no independent evidence" not in summary_table([record("a.b.dense")])
    assert "no independent evidence" in summary_table([record("a.b.dense"), estimate])


def test_the_notes_say_how_the_numbers_came_about() -> None:
    slower = record("b.b.dense", seeds=[0], speedup={"runtime": 30.0, "compression": 1.0})
    fastest = record("c.b.dense", speedup={"runtime": 90.0, "compression": 1.0})
    table = summary_table([record("a.b.dense"), slower, fastest])
    for words in ("1 or 4 seeds", "full graph, 4 nodes", "one thread", "the statistic", "30.0 times", "eager FP32"):
        assert words in table, words


def test_the_notes_name_every_batch_once() -> None:
    def batch(words: str) -> Record:
        return record("a.b.dense", latency_s={**record("a.b.dense")["latency_s"], "batch": words})

    table = summary_table([batch("a test pairs"), batch("a test graphs"), batch("a test pairs")])
    assert "latency: a test graphs or a test pairs, one thread" in table


def test_complaints_are_listed_below_the_table_in_the_order_of_the_cases() -> None:
    table = summary_table(
        [judged("b.b.dense", "fail", "b is worse"), judged("a.b.dense", "not-measured", "a has none", "a has less")]
    )
    assert table.endswith("\n\na has none\na has less\nb is worse")


def test_failures_that_pytest_has_printed_are_not_repeated() -> None:
    records = [judged("a.b.dense", "not-measured", "a has none"), judged("b.b.dense", "fail", "b is worse")]
    table = summary_table(records, failures_shown=True)
    assert "a has none" in table
    assert "b is worse" not in table


def test_without_complaints_the_notes_end_the_table() -> None:
    assert summary_table([record("a.b.dense")]).endswith("(no compression in that)")


def test_what_another_tool_traced_is_one_sentence() -> None:
    groups = {"words": "KeyError", "hidden": "same", "lin1": "same"}
    assert tracing_sentence({"tool": "Tool", "form": "spline, ours", "groups": groups}) == (
        "Tool on spline, ours cuts 2 of 3 groups as we do (words: KeyError)"
    )
    assert tracing_sentence({"tool": "Tool", "form": "gin", "groups": {"lin1": "same"}}) == (
        "Tool on gin cuts 1 of 1 groups as we do"
    )


def test_what_another_tool_quantized_is_one_sentence() -> None:
    compared = {
        "tool": "Tool 1.0",
        "config": "Int8",
        "model": "bbbp gin",
        "quantized_layers": 3,
        "layers": 12,
        "integer_products": 0,
        "accuracy": 0.87654,
        "dense_accuracy": 0.9,
        "state_bytes": 12345,
        "dense_state_bytes": 1234567,
        "latency_s": 0.0012345,
        "speedup_to_forward": 0.51234,
        "speedup_to_runtime": 0.2501,
    }
    assert compared_sentence(compared) == (
        "Tool 1.0 Int8 on bbbp gin quantizes 3 of 12 layers (0 products on integers): accuracy 0.877 (dense 0.900), "
        "12,345 bytes of torch.save (dense 1,234,567), 1.23 ms, 0.512 times as fast as its own FP32 forward pass and "
        "0.25 times as our FP32 runtime"
    )


def test_what_is_better_than_its_baseline_is_said() -> None:
    better = {"status": "pass", "reasons": [], "improvements": ["cora-node.spline.dense: 3% faster; accept it"]}
    lines = summary_table([record("cora-node.spline.dense", gate=better)], failures_shown=True).splitlines()
    assert lines[-1] == "cora-node.spline.dense: 3% faster; accept it"


def test_what_measuring_took_is_a_share_of_the_run() -> None:
    assert measuring_sentence(12.4, 400.0) == "measuring took 12 of 400 s (3.1% of the run)"
