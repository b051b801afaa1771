"""Opens a run of the suite and shows its result."""

from pathlib import Path
from typing import Any

import pytest

from bench.matrix import TASKS
from bench.report.terminal import summary_table
from fixtures.records import RECORDS
from fixtures.session import open_session


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Find the data and the rules before anything is collected."""
    open_session(config, TASKS, Path(__file__).with_name("thresholds.toml"))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:  # noqa: ANN401
    """Print one row per case."""
    records = config.stash.get(RECORDS, [])
    if records:
        terminalreporter.section("compressed graph neural networks")
        terminalreporter.write_line(summary_table(records, failures_shown=config.option.gate != "report"))
