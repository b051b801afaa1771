"""The table that ends a run, from records made by hand."""

from collections.abc import Sequence

import pytest

from bench.report.terminal import (
    HEADERS,
    OPEN_LINES,
    UNEXPLAINED,
    WIDTH,
    compared_sentence,
    measuring_sentence,
    notes,
    open_questions,
    snapshot_notes,
    summary_table,
    verdict,
)
from fixtures.record import Record
from fixtures.thresholds import Allowance
from tests.bench.made_up_records import made_up_record


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


def judged(case_id: str, status: str, *reasons: str, improvements: Sequence[str] = ()) -> Record:
    return record(case_id, gate={"status": status, "reasons": list(reasons), "improvements": list(improvements)})


def improved(case_id: str) -> Record:
    return judged(case_id, "pass", improvements=[f"{case_id}: 3% faster; accept it"])


def rows(table: str) -> list[list[str]]:
    """The cells of the table's rows: columns are two or more spaces apart."""
    lines = table.splitlines()[2:]
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]


def only_row(record: Record) -> list[str]:
    """The row of the only case of a table, which stands below its model."""
    _, row = rows(summary_table([record]))
    return row


def test_a_row_holds_the_numbers_of_its_case_and_their_units() -> None:
    assert rows(summary_table([record("a.b.dense")])) == [
        ["a.b:"],
        ["dense", "0.883 ± 0.012 (-0.017)", "123,457 (2.50x)", "0.250 (1.50x)", "0.0037 (rapl)", "pass"],
    ]
    for header in HEADERS:
        assert header in summary_table([record("a.b.dense")]).splitlines()[0]


def names(records: Sequence[Record]) -> list[str]:
    return [row[0] for row in rows(summary_table(records))]


def test_cases_stand_below_their_model_without_repeating_it() -> None:
    found = [record("a.c.dense"), record("a.b.global.s0.5"), record("a.b-c.dense"), record("a.b.dense")]
    assert names(found) == ["a.b:", "dense", "global.s0.5", "a.b-c:", "dense", "a.c:", "dense"]


def test_what_moved_comes_first_among_the_cases_of_a_model_and_among_models() -> None:
    of_one = [
        record("b.b.dense"),
        improved("b.b.better"),
        judged("b.b.undecided", "undecided"),
        judged("b.b.unknown", "not-measured"),
        judged("b.b.worse", "fail"),
    ]
    table = rows(summary_table([record("a.a.dense"), *of_one, improved("c.c.dense"), judged("d.d.dense", "fail")]))
    assert [row[-1] for row in table] == [
        *("b.b:", "fail", "not-measured", "undecided", "improved", "pass"),
        *("d.d:", "fail"),
        *("c.c:", "improved"),
        *("a.a:", "pass"),
    ]


def test_energy_that_was_not_measured_is_a_dash() -> None:
    assert only_row(record("a.b.dense", energy_j={"value": None, "source": "none"}))[4] == "-"


def unmeasured(case_id: str, **changes: object) -> Record:
    nothing = {"runtime": None, "compression": None}
    return record(case_id, latency_s={"compressed": None}, speedup=nothing, **changes)


def test_latency_and_speedup_that_were_not_measured_are_dashes() -> None:
    row = only_row(unmeasured("a.b.dense"))
    assert row[3] == "-"
    assert row[:3] == only_row(record("a.b.dense"))[:3]


def test_a_model_without_a_twin_has_a_latency_and_no_speedup() -> None:
    assert only_row(record("a.b.dense", speedup={"runtime": None, "compression": None}))[3] == "0.250"


def test_the_reasons_for_latencies_that_were_not_measured_are_counted() -> None:
    reason = {"latency_s.compressed": "timed once per model", "speedup.runtime": "another"}
    found = notes(
        [
            record("a.b.dense", not_applicable={"latency_s.eager": "another"}),
            *(unmeasured(f"a.b.global.s0.{digit}", not_applicable=reason) for digit in (1, 2)),
            unmeasured("a.c.dense"),
        ]
    )
    counted = "latency of 3 cases was not measured: timed once per model"
    assert [line for line in found if "not measured" in line] == [f"{counted} (and 1 more reasons, see --results)"]
    (alone,) = [line for line in notes([unmeasured("a.c.dense")]) if "not measured" in line]
    assert alone == f"latency of 1 case was not measured: {UNEXPLAINED}"


def test_a_long_reason_is_cut_to_one_line() -> None:
    (*_, line) = notes([unmeasured("a.b.dense", not_applicable={"latency_s.compressed": "a long reason " * 20})])
    assert len(line) <= WIDTH
    assert line.endswith(" ...")


def test_a_runtime_that_was_not_measured_is_left_out_of_the_notes() -> None:
    without = record("b.b.dense", speedup={"runtime": None, "compression": 1.0})
    assert "runtime itself" not in "".join(notes([without]))
    assert "runtime itself is 20.0 times" in "".join(notes([record("a.b.dense"), without]))


def test_the_deviation_of_one_seed_is_left_out() -> None:
    assert only_row(record("a.b.dense", accuracy={"mean": 0.9, "std": None}))[1] == "0.900 (-0.017)"


@pytest.mark.parametrize(("drop", "shown"), [(0.0, "(+0.000)"), (-0.02, "(+0.020)"), (0.02, "(-0.020)")])
def test_a_gain_has_a_plus(drop: float, shown: str) -> None:
    assert only_row(record("a.b.dense", accuracy_drop={"mean": drop}))[1].endswith(shown)


def test_estimates_are_explained_only_where_there_are_any() -> None:
    estimate = record("b.b.dense", energy_j={"value": 0.001, "source": "estimate"})
    assert "no independent evidence" not in "".join(notes([record("a.b.dense")]))
    assert "no independent evidence" in "".join(notes([record("a.b.dense"), estimate]))


def test_the_notes_say_how_the_numbers_came_about() -> None:
    slower = record("b.b.dense", seeds=[0], speedup={"runtime": 30.0, "compression": 1.0})
    fastest = record("c.b.dense", speedup={"runtime": 90.0, "compression": 1.0})
    found = "\n".join(notes([record("a.b.dense"), slower, fastest]))
    for words in ("mean ± std over 1 or 4 seeds", "one thread", "the statistic", "30.0 times", "eager FP32"):
        assert words in found, words


def test_every_open_question_is_one_line_and_red_or_plain_green_cases_have_none() -> None:
    found = [
        improved("a.b.better"),
        judged("a.b.unknown", "not-measured", "a.b.unknown: has none", "a.b.unknown: has less"),
        judged("a.b.worse", "fail", "a.b.worse: is worse"),
        record("a.b.dense"),
    ]
    assert open_questions(found) == [
        "not-measured: a.b.unknown: has none",
        "improved: a.b.better: 3% faster; accept it",
    ]
    assert open_questions([record("a.b.dense")]) == []


def test_many_open_questions_are_counted_and_long_ones_cut() -> None:
    lines = open_questions([judged(f"a.b.{number}", "undecided", "a long reason " * 20) for number in range(5)])
    assert len(lines) == OPEN_LINES
    assert lines[-1] == f"{5 - OPEN_LINES + 1} more cases like this: see the gate's reasons in --results"
    assert all(len(line) <= WIDTH for line in lines)
    assert lines[0].endswith(" ...")


def test_what_snapshots_do_not_guard_is_said_once() -> None:
    exact = Allowance("encoded_bytes", "higher", "a reason", relative=0.01, exact=True)
    foreign = {"sha256": "a" * 64, "foreign": True}
    found = [record("a.b.dense"), record("a.b.c", snapshot=foreign), record("a.b.d", snapshot=foreign)]
    assert snapshot_notes(found[:1], [exact]) == []
    missing = "1 case has no accepted values yet"
    sizes = "sizes within 1%: 2 of 3 snapshots are from another instruction set (or vendor, or build of torch)"
    assert snapshot_notes([*found, record("a.b.e", snapshot=None)], [exact]) == [missing, sizes]
    assert snapshot_notes([record("a.b.e", snapshot=None)] * 3, [exact]) == ["3 cases have no accepted values yet"]


def test_the_verdict_counts_every_status() -> None:
    found = [record("a.b.dense"), improved("a.b.better"), judged("a.b.narrow", "undecided")]
    assert verdict(found, 0, 0, "strict", 3) == "GREEN under --gate strict: 3 cases (1 pass, 1 improved, 1 undecided)"
    assert verdict(found[:1], 0, 0, "strict", 3) == "GREEN under --gate strict: judged 1 of 3 cases (1 pass)"
    assert verdict(found[:1], 1, 0, "strict", 3) == "RED under --gate strict: 1 failed, judged 1 of 3 cases (1 pass)"
    found += [judged("a.b.worse", "fail"), record("a.b.other")]
    counted = "(2 pass, 1 improved, 1 undecided, 1 fail)"
    assert verdict(found, 1, 0, "enforce", 5) == f"RED under --gate enforce: 1 failed {counted}"
    assert verdict(found, 3, 2, "enforce", 5) == (
        f"RED under --gate enforce: 3 failed, 2 of them without a result {counted}"
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


def test_what_measuring_took_is_a_share_of_the_run() -> None:
    assert measuring_sentence(12.4, 400.0) == "measuring took 12 of 400 s (3.1% of the run)"


def test_an_accuracy_that_is_no_number_is_a_dash() -> None:
    record = made_up_record("a.b.dense", accuracy={"mean": None, "std": None}, accuracy_drop={"mean": None})
    assert summary_table([record]).splitlines()[-1].split()[:2] == ["dense", "-"]


def test_an_interrupted_run_is_not_green() -> None:
    found = verdict([made_up_record("a.b.dense")], 0, 0, "enforce", 2, interrupted=True)
    assert found == "INTERRUPTED under --gate enforce: judged 1 of 2 cases (1 pass), and nothing is known of the others"
