"""Opens a run of the suite and shows its result."""

from pathlib import Path
from typing import Any

import pytest

from bench.matrix import TASKS
from bench.report.lottery import lottery_verdict
from bench.report.paper_tables import paper_tables
from bench.report.pareto import has_quantized, pareto_fronts
from bench.report.terminal import compared_sentence, summary_table, tracing_sentence
from fixtures.peak_memory import PeakMemory
from fixtures.results import REPORTED
from fixtures.session import SESSION, open_session
from fixtures.speed import Speed


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Find the data and the rules before anything is collected."""
    open_session(config, TASKS, Path(__file__).with_name("thresholds.toml"))


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
    for speed in reported["speed"]:
        terminalreporter.write_line(f"speed: {Speed(**speed).sentence}")
    for memory in reported["memory"]:
        terminalreporter.write_line(f"memory: {PeakMemory(**memory).sentence}")
    for tracing in reported["tracing"]:
        terminalreporter.write_line(f"tracing: {tracing_sentence(tracing)}")
    for compared in reported["compared"]:
        terminalreporter.write_line(f"compared: {compared_sentence(compared)}")
