"""Opens a run of the suite and shows its result."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.matrix import TABLE, TASKS
from bench.report.lottery import lottery_verdict
from bench.report.paper_tables import paper_tables
from bench.report.pareto import has_quantized, pareto_fronts
from bench.report.terminal import (
    compared_sentence,
    cuda_sentence,
    measuring_sentence,
    summary_table,
    tracing_sentence,
)
from fixtures.peak_memory import PeakMemory
from fixtures.results import REPORTED
from fixtures.session import SESSION, open_session
from fixtures.speed import Speed
from gnn.errors import SettingError

SENTENCES: dict[str, Callable[[Any], str]] = {
    "speed": lambda found: Speed(**found).sentence,
    "memory": lambda found: PeakMemory(**found).sentence,
    "tracing": tracing_sentence,
    "compared": compared_sentence,
    "cuda": cuda_sentence,
}


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Find the data and the rules before anything is collected."""
    open_session(config, TASKS, Path(__file__).with_name("thresholds.toml"))
    try:
        config.stash[SESSION].rules.check_patterns([row.case.id for row in TABLE])
    except SettingError as error:
        raise pytest.UsageError(str(error)) from error


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:  # noqa: ANN401
    """Print one row per case, the paper's tables beside what was measured, and one line per speed."""
    reported = config.stash[REPORTED]
    if reported["record"]:
        terminalreporter.section("compressed graph neural networks")
        table = summary_table(reported["record"], failures_shown=config.option.gate != "report")
        terminalreporter.write_line(table)
        laboratory = config.stash[SESSION].laboratory
        asked = {record["task"] for record in reported["record"]}
        statistics = {name: laboratory.task(name).statistics for name in TASKS if name in asked}
        if tables := paper_tables(reported["record"], statistics):
            protocol = laboratory.protocol
            terminalreporter.section(f"the paper's tables, reported / measured under the {protocol} protocol")
            terminalreporter.write_line(tables)
        if verdict := lottery_verdict(reported["record"]):
            terminalreporter.section("winning lottery tickets")
            terminalreporter.write_line(verdict)
        if has_quantized(reported["record"]) and (fronts := pareto_fronts(reported["record"])):
            terminalreporter.section("Pareto fronts: bytes, latency, accuracy")
            terminalreporter.write_line(fronts)
    for broken in reported["broken"]:
        terminalreporter.write_line(f"broken: {broken['test']} failed in its {broken['when']} and gave no result")
    for kind, sentence in SENTENCES.items():
        for found in reported[kind]:
            terminalreporter.write_line(f"{kind}: {sentence(found)}")
    if reported["record"]:
        measuring_s = sum(record["measuring_s"] for record in reported["record"])
        wall_s = time.monotonic() - config.stash[SESSION].start_s
        terminalreporter.write_line(measuring_sentence(measuring_s, wall_s))
