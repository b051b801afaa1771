"""Pareto fronts, from records made by hand."""

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from bench import conftest
from bench.report.pareto import CRITERIA, NOT_TIMED, has_quantized, pareto_fronts
from fixtures.record import Record
from tests.bench.made_up_records import cells, changed, made_up_record, made_up_results

SECTION = "Pareto fronts: bytes, latency, accuracy"


def record(method: str, encoded: float, speedup: float | None, accuracy: float, **changes: object) -> Record:
    measured = {
        "size_bytes": {"encoded": encoded},
        "speedup": {"runtime": 20.0, "compression": speedup},
        "accuracy": {"mean": accuracy, "std": 0.012},
    }
    return made_up_record(f"a.b.{method}", **{**measured, **changes})


BEST = record("qat.int8.ste-abs", 1000.0, 2.0, 0.80)
LARGE = record("global.s0.1", 9000.0, 1.0, 0.70)


def front(*records: Record) -> list[str]:
    """The cases of a front without their task and model."""
    lines = pareto_fronts(records).split("\n\n", maxsplit=1)[0].splitlines()[3:]
    return [line.split()[0].removeprefix("a.b.") for line in lines]


def test_a_case_that_another_beats_in_everything_is_not_on_the_front() -> None:
    assert front(BEST, LARGE) == ["qat.int8.ste-abs"]


@pytest.mark.parametrize(
    ("encoded", "speedup", "accuracy"), [(999.0, 1.0, 0.7), (9000.0, 2.1, 0.7), (9000.0, 1.0, 0.8001)]
)
def test_a_case_that_is_better_in_one_thing_is_on_the_front(encoded: float, speedup: float, accuracy: float) -> None:
    assert "a2q" in front(BEST, record("a2q", encoded, speedup, accuracy))


@pytest.mark.parametrize(
    ("encoded", "speedup", "accuracy"), [(1000.0, 1.0, 0.7), (9000.0, 2.0, 0.7), (9000.0, 1.0, 0.80)]
)
def test_what_is_equal_in_one_thing_and_worse_in_others_is_beaten(
    encoded: float, speedup: float, accuracy: float
) -> None:
    assert front(BEST, record("a2q", encoded, speedup, accuracy)) == ["qat.int8.ste-abs"]


def test_what_is_equal_in_everything_is_not_beaten() -> None:
    assert "a2q" in front(BEST, record("a2q", 1000.0, 2.0, 0.80))


def test_a_case_that_was_not_timed_is_compared_over_bytes_and_accuracy() -> None:
    beaten, unbeaten = record("a2q", 1001.0, None, 0.79), record("global.s0.9", 1001.0, None, 0.81)
    assert front(BEST, beaten, unbeaten) == ["qat.int8.ste-abs", "global.s0.9"]
    assert cells(pareto_fronts([BEST, unbeaten]), "a.b.global.s0.9")[-1] == NOT_TIMED


def test_a_case_that_was_not_timed_beats_no_case_that_was() -> None:
    assert "qat.int8.ste-abs" in front(BEST, record("a2q", 500.0, None, 0.9))


def test_collapsed_cases_are_on_no_front_and_beat_no_other() -> None:
    collapsed = record("a2q", 1.0, 99.0, 0.99, collapsed=True)
    text = pareto_fronts([BEST, collapsed, LARGE])
    assert front(BEST, collapsed) == ["qat.int8.ste-abs"]
    assert "a.b: 1 of 3 cases on the front, 1 dominated, 1 collapsed" in text.splitlines()


def test_a_task_without_a_majority_class_has_no_collapsed_cases() -> None:
    assert "1 dominated, 0 collapsed" in pareto_fronts([changed(BEST, collapsed=None), changed(LARGE, collapsed=None)])


def test_the_front_is_sorted_by_bytes_and_includes_the_dense_model() -> None:
    dense = record("dense", 5000.0, 1.0, 0.9)
    assert front(dense, record("a2q", 700.0, 1.0, 0.7), BEST, LARGE) == ["a2q", "qat.int8.ste-abs", "dense"]


def test_a_row_holds_accuracy_bytes_and_speed() -> None:
    assert cells(pareto_fronts([BEST, LARGE]), BEST.id) == [
        BEST.id,
        "0.800 ± 0.012",
        "0.0060",  # 0.012 / sqrt(4 seeds)
        "1,000 (4.00x)",
        "2.00x",
    ]


def test_one_seed_has_no_standard_error() -> None:
    single = changed(BEST, seeds=[0], accuracy={"mean": 0.8, "std": None})
    assert cells(pareto_fronts([single, LARGE]), BEST.id)[1:3] == ["0.800", "-"]


def test_a_model_needs_two_compressed_cases() -> None:
    dense, tuned, regularized = (record(method, 5000.0, 1.0, 0.9) for method in ("dense", "dense.ft", "l2.r0.1"))
    assert pareto_fronts([dense, tuned, regularized, BEST]) == ""
    assert pareto_fronts([dense, record("dense.stored-int8", 2000.0, None, 0.9), BEST]) != ""


def test_models_are_compared_each_for_itself() -> None:
    of_other: dict[str, Any] = {"size_bytes": {"encoded": 1.0}, "accuracy": {"mean": 0.99, "std": 0.0}}
    others = [changed(case, id=f"a.c.{case.method_id}", model="c", **of_other) for case in (BEST, LARGE)]
    text = pareto_fronts([*others, BEST, LARGE])
    assert [line for line in text.splitlines() if line.endswith(":") or line.endswith("collapsed")] == [
        "a.b:",
        "a.c:",
        "a.b: 1 of 2 cases on the front, 1 dominated, 0 collapsed",
        "a.c: 1 of 2 cases on the front, 1 dominated, 0 collapsed",
    ]


def test_the_rules_are_stated() -> None:
    text = " ".join(pareto_fronts([BEST, LARGE]).split())
    assert all(rule in text for rule in CRITERIA)
    assert "standard error" in text


@pytest.mark.parametrize(
    ("record", "quantized"),
    [
        (BEST, True),
        (record("a2q", 1.0, 1.0, 0.5), True),
        (record("degree-quant.int4.gc-per", 1.0, 1.0, 0.5), True),
        (record("post-training.int8", 1.0, 1.0, 0.5), True),
        (changed(record("structured.s0.8.int8", 1.0, 1.0, 0.5), method="hybrid"), True),
        (record("dense.stored-int8", 1.0, 1.0, 0.5), False),
        (record("structured.s0.8", 1.0, 1.0, 0.5), False),
    ],
)
def test_what_is_quantized_is_found_by_its_method(record: Record, quantized: bool) -> None:
    assert has_quantized([LARGE, record]) is quantized


def sections(monkeypatch: pytest.MonkeyPatch, *records: Record) -> list[str]:
    """The titles of what a run with these records prints."""
    titles: list[str] = []
    reporter = SimpleNamespace(section=titles.append, write_line=lambda _line: None)
    reported = {
        "record": msgspec.to_builtins(records),
        **dict.fromkeys(("broken", "speed", "memory", "tracing", "compared", "cuda", "runtime", "data"), ()),
    }
    results = msgspec.to_builtins(made_up_results(*records))
    monkeypatch.setattr(conftest, "results_document", lambda *_given: results)
    session: Any = None
    conftest.show_tables(reporter, reported, session)
    return titles


def test_fronts_are_printed_when_something_is_quantized_and_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    assert SECTION in sections(monkeypatch, BEST, LARGE)
    assert SECTION not in sections(monkeypatch, BEST)
    assert SECTION not in sections(monkeypatch, LARGE, record("global.s0.2", 8000.0, 1.0, 0.8))
