"""Limits as people type them, what fits, and what is worth using."""

import pytest

from bench.report.advice import advise, limit, settings_text
from bench.report.front import exit_status, front, verdict_of, worth_using
from bench.report.pareto import options, options_of
from fixtures.record import Record, Results
from gnn.errors import SettingError
from tests.bench.made_up_records import changed, made_up_record, made_up_results


def case(method: str, encoded: float, latency_s: float | None, drop: float, half: float = 0.001) -> Record:
    """A case of a model whose dense one has 0.9, 4,000 bytes and 4 ms."""
    ratio = None if latency_s is None else 0.004 / latency_s
    return changed(
        made_up_record(f"bbbp.gin.{method}"),
        size_bytes={"encoded": encoded},
        size_ratio=encoded / 4000,
        latency_s={"compressed": latency_s},
        speedup={"compression": ratio, "compression_ci95": None if ratio is None else (0.95 * ratio, 1.05 * ratio)},
        accuracy={"mean": 0.9 - drop},
        accuracy_drop={"mean": drop, "ci95": (drop - half, drop + half)},
        not_applicable={} if latency_s else {"latency_s.compressed": "it is masked"},
    )


DENSE = case("dense", 4000.0, 0.004, 0.0)
SMALL = case("qat.int4.ste-abs", 500.0, 0.004, 0.008)
FAST = case("structured.s0.5.ft", 2000.0, 0.002, 0.004)
EXACT = case("global.s0.5", 2500.0, 0.0039, -0.002)
BEATEN = case("global.s0.1", 3000.0, 0.0039, 0.009)
POOR = case("global.s0.9", 300.0, 0.001, 0.2)
MASKED = case("fine-grained.s0.8", 400.0, None, 0.0)
ALL = made_up_results(DENSE, SMALL, FAST, EXACT, BEATEN, POOR, MASKED)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        *(("bytes", "30k", 30_000), ("bytes", "30000", 30_000), ("bytes", "1.5M", 1.5e6), ("bytes", "2KiB", 2048)),
        *(("latency", "2ms", 0.002), ("latency", "500us", 0.0005), ("latency", "0.1 s", 0.1)),
        *(("drop", "1%", 0.01), ("drop", "0.01", 0.01), ("drop", "0", 0.0), ("drop", ".5%", 0.005)),
    ],
)
def test_a_limit_is_read_with_its_unit(name: str, text: str, value: float) -> None:
    assert limit(name, text) == pytest.approx(value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("bytes", text) for text in ("", "30q", "-1", "0", "nan", "1e999", "30 k b")),
        *(("latency", text) for text in ("2", "2 minutes", "0ms")),
        *(("drop", text) for text in ("1 point", "inf", "--")),
    ],
)
def test_what_is_no_limit_is_refused_with_an_example(name: str, text: str) -> None:
    with pytest.raises(SettingError, match=rf"--max-{name} .* is no limit; give a .* such as "):
        limit(name, text)


def test_what_fits_and_nothing_beats_is_told_smallest_first() -> None:
    found = advise(ALL, task="bbbp", max_drop=0.01)
    assert [option.method_id for option in found.fitting] == [
        *("fine-grained.s0.8", "qat.int4.ste-abs", "structured.s0.5.ft", "global.s0.5")
    ]
    assert "(1 more fit, but another one is as small, as fast and as accurate)" in found.sentence
    assert [row[1] for row in advise(ALL, max_drop=0.0085).table.rows] == ["surely", "on average", "surely", "surely"]
    timed = advise(ALL, max_drop=0.01, max_latency_s=0.005)
    assert MASKED.id not in [option.case for option in timed.fitting]


def test_a_terminal_has_the_numbers_in_columns_and_the_commands_below() -> None:
    found = advise(ALL, max_bytes=600)
    table, _, again = found.text().partition("\n\n")
    assert "command" not in table.splitlines()[1]
    assert [f"{option.case}  " in table for option in found.fitting] == [True] * len(found.fitting)
    assert [line for line in again.splitlines() if line.startswith("  ")] == [f"  {o.command}" for o in found.fitting]


def test_the_closest_are_told_where_nothing_fits() -> None:
    found = advise(ALL, max_drop=0.01, max_bytes=490.0, max_latency_s=0.0039)
    assert not found.fitting
    assert [option.method_id for option in found.closest][:1] == ["qat.int4.ste-abs"]
    assert found.sentence.startswith(
        "none of 6 files is within the limits (at most 0.01 lost, at most 490 bytes, at most 3.9 ms); closest are "
        "bbbp.gin.qat.int4.ste-abs loses 0.0080 with 500 bytes and 4 ms; "
    )


@pytest.mark.parametrize("asked", [("cora", None), (None, "gcn")])
def test_an_unknown_task_or_model_is_refused_with_those_there_are(asked: tuple[str | None, str | None]) -> None:
    with pytest.raises(SettingError, match=r"no compressed case of .*; valid are: (bbbp|gin)"):
        advise(ALL, *asked)


@pytest.mark.parametrize(
    "unusable", [{"collapsed": True}, {"not_finite": {"accuracy.mean": "nan"}}, {"gate": {"status": "fail"}}]
)
def test_what_is_red_collapsed_or_no_number_is_no_option(unusable: dict[str, object]) -> None:
    assert not options(made_up_results(changed(SMALL, **unusable)))


def test_an_option_says_how_to_make_it_again() -> None:
    assert options(ALL)[0].command == "scripts/bench --profile ci --case bbbp.gin.global.s0.9 --seeds 4"
    planted = made_up_record("planted-bbbp.gin.global.s0.9")
    elsewhere = made_up_results(planted, protocol="paper", files={planted.id: "my tests/test_a.py"})
    assert options_of(elsewhere)[0]["command"] == (
        "python -m pytest -p pytest_gnn 'my tests/test_a.py' --profile ci --case planted-bbbp.gin.global.s0.9 "
        "--seeds 4 --data planted --protocol paper"
    )
    assert settings_text({"pruning": {"sparsity": 0.8}, "fine_tune": True}) == "pruning (sparsity 0.8), fine_tune yes"


def test_worth_using_are_the_smallest_the_fastest_and_the_most_accurate_that_were_timed() -> None:
    (worth,) = worth_using(ALL)
    assert [(choice.why, choice.option.method_id) for choice in worth.choices] == [
        ("smallest with a drop within 0.01", "qat.int4.ste-abs"),
        ("fastest with a drop within 0.01", "structured.s0.5.ft"),
        ("most accurate that is smaller", "global.s0.5"),
    ]
    assert worth.notes == ("1 of 6 cases were not timed and do not count",)


def test_what_the_seeds_do_not_prove_is_said() -> None:
    (worth,) = worth_using(made_up_results(DENSE, case("qat.int8.ste-abs", 500.0, 0.004, 0.008, half=0.05)))
    assert worth.choices[0].why == (
        "smallest with a drop within 0.01 on average, which the seeds do not prove; most accurate that is smaller"
    )
    assert "is surely faster than the dense model" in worth.notes[0]
    (worth,) = worth_using(made_up_results(DENSE, POOR))
    assert worth.notes == ("no file has a drop within 0.01",)


RED = changed(SMALL, gate={"status": "fail", "reasons": ["too slow"], "red": True})


@pytest.mark.parametrize(
    ("results", "status", "sentence"),
    [
        (made_up_results(SMALL, exit_status=0), 0, "GREEN under --gate enforce: 1 cases (1 pass)"),
        (made_up_results(RED, exit_status=1), 1, "RED under --gate enforce: 1 failed (1 fail)"),
        # Nothing is red under --gate report.
        (made_up_results(changed(RED, gate={"red": False}), gate="report", exit_status=0), 0, "GREEN under --gate rep"),
        # Files that are older say neither how the run ended nor what was red.
        (made_up_results(changed(RED, gate={"red": None})), 1, "RED under --gate enforce: 1 failed"),
        (made_up_results(SMALL, broken=[{"test": "a"}]), 1, "RED under --gate enforce: 1 failed, 1 of them without"),
        (made_up_results(SMALL, exit_status=1), 1, "RED under --gate enforce: 1 failed (1 pass)"),
        (made_up_results(SMALL, exit_status=2, profile_cases=9), 1, "INTERRUPTED under --gate enforce: judged 1 of 9"),
    ],
)
def test_verdict_and_exit_status_follow_the_gate(results: Results, status: int, sentence: str) -> None:
    assert (exit_status(results), verdict_of(results)[: len(sentence)]) == (status, sentence)
    assert exit_status(made_up_results(SMALL), results) == status


@pytest.mark.parametrize(
    ("counts", "said"),
    [([1, 1], "1 seed"), ([5], "5 seeds"), ([3, 5, 3], "3 or 5 seeds"), ([20, 5, 10], "5, 10 or 20 seeds")],
)
def test_the_front_says_how_many_seeds_its_cases_have(counts: list[int], said: str) -> None:
    cases = [
        made_up_record(f"bbbp.gin.l2.r{place}", seeds=[*range(count)], accuracy={"values": [0.8] * count})
        for place, count in enumerate(counts)
    ]
    assert front(made_up_results(*cases)).run.endswith(f", {said} per case")


def test_the_front_says_which_methods_took_most_of_the_time() -> None:
    cases = [made_up_record("bbbp.gin.dense"), made_up_record("bbbp.gin.global.s0.5")]
    durations = {"test_it.py::test_it[bbbp.gin.dense]": 30.0, "test_it.py::test_it[bbbp.gin.global.s0.5]": 60.0}
    run = made_up_results(*cases, wall_s=120.0, measuring_s=12.0)
    assert front(run).took == "2 minutes, 10% of them measuring"
    run = made_up_results(
        *cases, wall_s=120.0, measuring_s=12.0, durations_s={**durations, "test_speed.py::test": 10.0}
    )
    assert front(run).took.endswith(", training included: global 60%, dense 30%, other tests 10%")


def test_the_front_says_planted_data_loudly() -> None:
    planted = front(made_up_results(SMALL, data={"bbbp": {"source": "planted"}}))
    assert planted.warning.startswith("PLANTED DATA: bbbp is generated")
    assert front(ALL).warning == ""
    assert (front(ALL).counts, front(ALL).is_red) == ({"pass": 7}, False)
