"""What stands at the end of a run: one screen when it is green, and what turned it red last of all."""

import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from bench import conftest
from bench.matrix import TABLE
from fixtures.progress import LINES
from fixtures.record import Record
from fixtures.results import KINDS, REPORTED
from fixtures.selection import SELECTION, Selection
from fixtures.session import REDDENED, SESSION, BenchSession
from fixtures.timing_baseline import TimingBaseline
from gnn.tasks import PLANTED_PREFIX
from tests.bench.made_up_records import changed, made_up_record

pytest_plugins = ["pytester"]

COLUMNS = 120
ROWS = 60
# The suite's header on real data.
HEADER = 5
# Where the session starts, two about workers, two about snapshots, two empty ones, and pytest's own summary.
PYTESTS = 8
CLASS = "intel-6-143-avx512vnni-torch2.13.0-1thread-cpu-kept"
NOTHING = TimingBaseline(CLASS, None)
LONG = "to save time: weights are decoded to FP32 before the first inference, and the same case stored in FP32 is timed"


def record(case_id: str, status: str = "pass") -> Record:
    """A record with numbers as long as they get."""
    stored, dense = ".stored-" in case_id, case_id.endswith(".dense")
    latency_s = {"compressed": None if stored else 0.123456, "statistic": "median over blocks of block minima"}
    reason = (
        f"{case_id}: accuracy is 0.829268, baseline 0.834146: 0.00487805 lower, allowed is less than 0.005 ({LONG})"
    )
    return made_up_record(
        case_id,
        seeds=[0] if "gin" in case_id else [0, 1, 2],
        accuracy={"mean": 0.89123, "std": 0.01234},
        size_bytes={"encoded": 272_307.4 if dense else 57_398.2},
        size_ratio=1 / (1.13 if dense else 25.73),
        latency_s=latency_s,
        speedup={"runtime": 134.5, "compression": None if stored else 0.208},
        energy_j={"value": 0.000592, "source": "estimate"},
        not_applicable={"latency_s.compressed": LONG} if stored else {},
        measuring_s=12.34,
        gate={"status": status, "reasons": [] if status == "pass" else [reason], "improvements": []},
        ungated_ratios=["speedup.runtime", "speedup.compression", "instructions.ratio"],
    )


def quick_records(statuses: Sequence[str] = ()) -> list[Record]:
    names = [row.case.id for row in TABLE if "quick" in row.seeds]
    return [record(name, status) for name, status in zip(names, [*statuses, *["pass"] * len(names)], strict=False)]


class Ending:
    """Ends a run as the suite does, with these records."""

    pytest_terminal_summary = staticmethod(conftest.pytest_terminal_summary)

    def __init__(self, records: Sequence[Record], gate: str = "enforce", timing: TimingBaseline = NOTHING) -> None:
        self.reported: dict[str, list[Any]] = {kind: [] for kind in (*KINDS, "broken")} | {
            "record": msgspec.to_builtins(records)
        }
        rules = SimpleNamespace(allowances=())
        start_s = time.monotonic() - 12_345.6
        self.session = SimpleNamespace(gate=gate, timing=timing, start_s=start_s, rules=rules, updating=False)
        self.selection = SimpleNamespace(profile_cases=[record.id for record in records])
        self.sentences: list[str] = []

    def pytest_configure(self, config: pytest.Config) -> None:
        config.stash[REPORTED] = self.reported
        config.stash[SESSION] = cast(BenchSession, self.session)
        config.stash[SELECTION] = cast(Selection, self.selection)
        config.option.tables, config.option.against = False, None


def shown(
    ending: Ending, *, collectonly: bool = False, tables: bool = False, lines: list[str] | None = None
) -> list[str]:
    """The lines that the suite itself writes at the end, also in `lines`."""
    lines = [] if lines is None else lines
    reporter = SimpleNamespace(write_line=lambda text: lines.extend(str(text).split("\n")), section=lines.append)
    stash = {REPORTED: ending.reported, SESSION: ending.session, SELECTION: ending.selection}
    stash[REDDENED] = ending.sentences
    option = SimpleNamespace(tables=tables, collectonly=collectonly, against=None)
    conftest.show(reporter, cast(pytest.Config, SimpleNamespace(stash=stash, option=option)), [])
    return lines


@pytest.mark.parametrize("prefix", ["", PLANTED_PREFIX])
@pytest.mark.parametrize("statuses", [[], ["undecided", "not-measured"], ["undecided"] * 9 + ["not-measured"] * 3])
def test_a_green_run_of_the_quick_profile_is_one_screen(prefix: str, statuses: list[str]) -> None:
    records = [changed(record, id=f"{prefix}{record.id}") for record in quick_records(statuses)]
    lines = shown(Ending(records))
    assert [line for line in lines if len(line) > COLUMNS] == []
    assert HEADER + LINES + PYTESTS + len(lines) <= ROWS
    assert lines[-1].startswith(f"GREEN under --gate enforce: {len(records)} cases (")
    # Nothing that was measured is missing.
    for found in records:
        assert any(line.startswith(f"{found.method_id} ") for line in lines), found.id


def test_what_is_not_gated_is_counted_over_cases_and_speeds() -> None:
    ending = Ending([record("a.b.dense"), record("a.b.global.s0.5")])
    ending.reported["speed"] = [{"minimum_ratio": None}, {"minimum_ratio": 6.0}, {"minimum_ratio": 7.0}]
    assert NOTHING.ungated_sentence(7) in shown(ending)
    gated = Ending([changed(record("a.b.dense"), ungated_ratios=[])])
    assert not [line for line in shown(gated) if "not gated" in line]


@pytest.mark.parametrize("gate", ["report", "enforce", "strict"])
def test_a_run_that_selects_nothing_says_so_whatever_the_gate(gate: str) -> None:
    ending = Ending([], gate)
    (line,) = shown(ending)
    assert line == "RED: nothing was selected, so nothing was judged; see -k, -m, --case and --profile"
    assert shown(ending, collectonly=True) == []
    ending.reported["speed"] = [{"minimum_ratio": None}]
    assert shown(ending) == []


def test_what_no_test_is_to_blame_for_is_red_and_stands_last() -> None:
    ending = Ending([record("a.b.dense")])
    ending.sentences, ending.selection.profile_cases = ["a.b.c was not written"], ["a.b.dense", "a.b.c"]
    *_, verdict, sentence = shown(ending)
    assert verdict == "RED under --gate enforce: 1 failed, judged 1 of 2 cases (1 pass)"
    assert sentence == "a.b.c was not written"


def test_tables_that_cannot_be_made_do_not_take_the_verdict_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("nothing was timed")

    monkeypatch.setattr(conftest, "show_tables", broken)
    lines: list[str] = []
    with pytest.raises(ZeroDivisionError):
        shown(Ending([record("a.b.dense")]), tables=True, lines=lines)
    assert lines[-1] == "GREEN under --gate enforce: 1 cases (1 pass)"


SUITE = """
import pytest

def test_that_is_too_slow():
    pytest.fail("it is slower than allowed", pytrace=False)

def test_that_breaks():
    assert 1 == 2

@pytest.fixture
def missing():
    pytest.fail("its data is missing", pytrace=False)

def test_without_data(missing):
    pass
"""


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_red_run_ends_with_every_reason_once(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, workers: str
) -> None:
    for variable in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_XDIST_TESTRUNUID", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(variable, raising=False)
    pytester.makepyfile(SUITE)
    absent = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-p", "no:syrupy", "-p", "no:benchmark")
    ending = Ending([record("a.b.dense", "fail")])
    result = pytester.runpytest_inprocess(*absent, "-n", workers, plugins=[ending])
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    lines = result.stdout.lines
    verdict, *last = lines[-5:-1]
    assert verdict == "RED under --gate enforce: 3 failed (1 fail)"
    broke = "test_a_red_run_ends_with_every_reason_once.py::test_that_breaks broke, see its traceback above"
    assert sorted(last) == sorted(["it is slower than allowed", broke, "its data is missing"])
    assert "2 failed, 1 error" in lines[-1]
    for sentence in ("it is slower than allowed", "its data is missing"):
        # Apart from the source that a traceback shows.
        assert [line for line in lines if line.removeprefix("E   ").endswith(sentence)] == [sentence]
    assert any(line.endswith("assert 1 == 2") for line in lines)
