"""Opens a run of the suite and adds its tables to the result."""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bench import yardsticks  # noqa: F401  (registers the peers of models)
from bench.matrix import TABLE, TASKS
from bench.report.lottery import tickets_table
from bench.report.paper_tables import compared_tables
from bench.report.pareto import has_quantized, pareto_fronts
from bench.report.publishing import check_folder, check_packages, publish
from bench.report.runtime_tables import runtime_sentence, speed_table
from bench.report.scaling import scaling_table
from bench.report.sentences import compared_sentence, cuda_sentence
from fixtures.finite import finite
from fixtures.journal import ONLY_READS
from fixtures.peak_memory import PeakMemory
from fixtures.record import Results
from fixtures.results import READERS, REPORTED, Reported
from fixtures.results_document import DATA, results_document
from fixtures.selection import follow_table
from fixtures.session import SESSION, BenchSession, open_session
from fixtures.speed import Speed
from fixtures.terminal import SECTIONS
from gnn.errors import GnnError

SENTENCES: dict[str, Callable[[Any], str]] = {
    "speed": lambda found: Speed(**found).sentence,
    "memory": lambda found: PeakMemory(**found).sentence,
    "compared": compared_sentence,
    "cuda": cuda_sentence,
    "runtime": runtime_sentence,
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare what only this suite has."""
    group = parser.getgroup("gnn")
    group.addoption(
        "--memory-limit",
        type=_mebibytes,
        default=64,
        metavar="MIB",
        help="what inference on large graphs may take in bench/test_scaling.py (default: 64)",
    )
    group.addoption(
        "--tables",
        action="store_true",
        help="print the paper's tables, Pareto fronts, lottery tickets and speed lines too",
    )


def _mebibytes(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no memory limit; give MiB, 1 or more, such as 64")
    return int(text)


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Find the data and the rules before anything is collected."""
    open_session(config, TASKS, Path(__file__).with_name("thresholds.toml"))
    (suite,), case_ids = config.stash[SESSION].suites.values(), [row.case.id for row in TABLE]
    try:
        suite.rules.check_patterns(case_ids)
        suite.rules.check_metrics()
        suite.timing.check_cases(case_ids)
        follow_table(config, TABLE)
        config.stash[SECTIONS] = [show_tables]
        config.stash[ONLY_READS] = tuple(Path(__file__).with_name(name) for name in ("report", "proofs"))
        if config.option.report is not None and not hasattr(config, "workerinput"):
            check_packages()
            check_folder(config.option.report)
            config.stash[READERS] = [partial(write_page, config.option.report)]
    except GnnError as error:
        raise pytest.UsageError(str(error)) from error


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:  # noqa: ANN401
    """Write the table of runtimes, and how time and memory grow with the graph, where they were measured."""
    reported = config.stash.get(REPORTED, {})
    for kind, title, table in (
        ("runtime", "our runtime beside its peers", speed_table),
        ("scaling", "large graphs", scaling_table),
    ):
        if found := reported.get(kind):
            terminalreporter.section(title)
            terminalreporter.write_line(table(found).text())


def write_page(folder: Path, document: dict[str, Any]) -> str:
    """Write the page of a run whose results are whole; says where it is."""
    # They import what draws, which takes seconds and is not always installed.
    from bench.report.page import files_of, page_of  # noqa: PLC0415

    results = msgspec.convert(document, Results)
    if not results.cases:
        return f"no page was written to {folder}: no case was run"
    publish(files_of(page_of(results), document), folder)
    return f"page: {folder / 'index.html'}"


def show_tables(terminalreporter: Any, reported: Reported, session: BenchSession) -> None:  # noqa: ANN401
    """Write the rows of the paper's tables that were run, tickets and fronts, and one line per speed."""
    document = results_document(session, reported["record"], reported["speed"], reported[DATA])
    results = msgspec.convert(finite(document), Results)
    records = [record for record in results.cases if not record.not_finite]
    tables = [*compared_tables(results, rows_not_run=False), tickets_table(records)]
    fronts = pareto_fronts(records) if has_quantized(records) else ""
    sections = {
        f"the paper's tables, reported and measured under the {results.protocol} protocol": "\n\n".join(
            table.text() for table in tables if table is not None
        ),
        "Pareto fronts: bytes, latency, accuracy": fronts,
    }
    for title, text in sections.items():
        if text:
            terminalreporter.section(title)
            terminalreporter.write_line(text)
    for kind, sentence in SENTENCES.items():
        for found in reported[kind]:
            terminalreporter.write_line(f"{kind}: {sentence(found)}")
