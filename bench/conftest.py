"""Opens a run of the suite and shows its result."""

import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench.inferences import inferences
from bench.matrix import TABLE, TASKS
from bench.report.lottery import lottery_verdict
from bench.report.paper_tables import paper_tables
from bench.report.pareto import has_quantized, pareto_fronts
from bench.report.terminal import (
    compared_sentence,
    cuda_sentence,
    measuring_sentence,
    notes,
    open_questions,
    snapshot_notes,
    summary_table,
    verdict,
)
from fixtures.against import against, check_revision
from fixtures.artifacts import CaseRuns
from fixtures.measurement import Inferences
from fixtures.peak_memory import PeakMemory
from fixtures.record import Record
from fixtures.results import REPORTED, Reported
from fixtures.selection import SELECTION, follow_cases
from fixtures.session import REDDENED, SESSION, BenchSession, open_session
from fixtures.speed import Speed
from gnn.errors import SettingError

SENTENCES: dict[str, Callable[[Any], str]] = {
    "speed": lambda found: Speed(**found).sentence,
    "memory": lambda found: PeakMemory(**found).sentence,
    "compared": compared_sentence,
    "cuda": cuda_sentence,
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare what only the report of this suite has."""
    parser.getgroup("gnn").addoption(
        "--tables",
        action="store_true",
        help="print the paper's tables, Pareto fronts, lottery tickets and speed lines too",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Find the data and the rules before anything is collected."""
    open_session(config, TASKS, Path(__file__).with_name("thresholds.toml"))
    session, case_ids = config.stash[SESSION], [row.case.id for row in TABLE]
    try:
        session.rules.check_patterns(case_ids)
        session.rules.check_metrics()
        session.timing.check_cases(case_ids)
        follow_cases(config, TABLE)
        if config.option.against is not None:
            check_revision(config.rootpath, config.option.against)
    except SettingError as error:
        raise pytest.UsageError(str(error)) from error


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(
    terminalreporter: Any,  # noqa: ANN401
    exitstatus: int,
    config: pytest.Config,
) -> Generator[None]:
    """Print the table and the verdict after all else, and what turned the run red last of all.

    A failure that is one sentence stands there alone; one with a traceback keeps pytest's own section too.
    """
    failed = [report for kind in ("failed", "error") for report in terminalreporter.stats.get(kind, [])]
    kept = {kind: terminalreporter.stats.pop(kind) for kind in ("failed", "error") if kind in terminalreporter.stats}
    for kind, reports in kept.items():
        if with_traceback := [report for report in reports if only_sentence(report) is None]:
            terminalreporter.stats[kind] = with_traceback
    try:
        return (yield)
    finally:
        terminalreporter.stats.update(kept)
        # Neither Ctrl-C nor an error of a plugin lets all cases run.
        ended = exitstatus not in (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR)
        show(terminalreporter, config, failed, interrupted=not ended)


def show(terminalreporter: Any, config: pytest.Config, failed: list[Any], *, interrupted: bool = False) -> None:  # noqa: ANN401
    """Write everything that a reader of this run has to know; a table that cannot be made takes nothing with it."""
    try:
        if config.option.tables:
            show_tables(terminalreporter, config.stash[REPORTED], config.stash[SESSION])
    finally:
        show_verdict(terminalreporter, config, failed, interrupted=interrupted)


def show_verdict(terminalreporter: Any, config: pytest.Config, failed: list[Any], *, interrupted: bool) -> None:  # noqa: ANN401
    """Write a row per case, how the run ended, and every reason."""
    reported, session = config.stash[REPORTED], config.stash[SESSION]
    records, write = msgspec.convert(reported["record"], list[Record]), terminalreporter.write_line
    if records:
        terminalreporter.section("compressed graph neural networks")
        snapshots = [] if session.updating else snapshot_notes(records, session.rules.allowances)
        lines = [*notes(records), *snapshots, *open_questions(records), *ungated(records, reported, session)]
        write("\n".join([summary_table(records), *lines]))
        measuring = measuring_sentence(
            sum(record.measuring_s for record in records), time.monotonic() - session.start_s
        )
        write(f"{measuring}; --tables prints more, --results FILE keeps every record")
    sentences = config.stash.get(REDDENED, [])
    red = len(failed) + len(sentences)
    if records or red:
        asked = len(config.stash[SELECTION].profile_cases)
        write(verdict(records, red, len(reported["broken"]), session.gate, asked, interrupted=interrupted))
    elif not config.option.collectonly and not any(reported.values()):
        write("RED: nothing was selected, so nothing was judged; see -k, -m, --case and --profile")
    if config.option.against is not None:
        write(against(config.rootpath, config.option.against, session))
    for sentence in sentences:
        write(sentence)
    for report in failed:
        write(only_sentence(report) or f"{report.nodeid} broke, see its traceback above")


def only_sentence(report: pytest.TestReport | pytest.CollectReport) -> str | None:
    """What a failure says where it has no traceback, as after `pytest.fail(..., pytrace=False)`; None where it has."""
    traceback = getattr(report.longrepr, "reprtraceback", None)
    if traceback is not None and traceback.style == "value":
        return "\n".join(line for entry in traceback.reprentries for line in entry.lines)
    return report.longrepr if isinstance(report.longrepr, str) else None


def ungated(records: Sequence[Record], reported: Reported, session: BenchSession) -> list[str]:
    """How many ratios have no accepted one to be compared with, as one sentence; none where all have."""
    count = sum(len(record.ungated_ratios) for record in records)
    count += sum(speed["minimum_ratio"] is None for speed in reported["speed"])
    return [session.timing.ungated_sentence(count)] if count else []


def show_tables(terminalreporter: Any, reported: Reported, session: BenchSession) -> None:  # noqa: ANN401
    """Write the paper's tables beside what was measured, and one line per speed."""
    records = [record for record in msgspec.convert(reported["record"], list[Record]) if not record.not_finite]
    run_context = session.run_context
    asked = {record.task for record in records}
    statistics = {name: run_context.task(name).statistics for name in TASKS if name in asked}
    fronts = pareto_fronts(records) if has_quantized(records) else ""
    sections = {
        f"the paper's tables, reported / measured under the {run_context.protocol} protocol": paper_tables(
            records, statistics
        ),
        "winning lottery tickets": lottery_verdict(records),
        "Pareto fronts: bytes, latency, accuracy": fronts,
    }
    for title, text in sections.items():
        if text:
            terminalreporter.section(title)
            terminalreporter.write_line(text)
    for kind, sentence in SENTENCES.items():
        for found in reported[kind]:
            terminalreporter.write_line(f"{kind}: {sentence(found)}")


@pytest.fixture(scope="session", name="inferences")
def what_is_timed() -> Callable[[CaseRuns], Inferences]:
    """What is timed of a case: eager, frozen, dense and compressed."""
    return inferences
