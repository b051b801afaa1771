"""A figure of the report: one declaration, from which the page, the pictures and the table of its data come."""

from collections.abc import Callable
from dataclasses import dataclass

import altair

from bench.report.table import Table
from fixtures.record import Results


@dataclass(frozen=True)
class Figure:
    """A chart with what it shows in one sentence, and the same numbers as a table.

    `key` names files and anchors, such as figure-3.
    """

    key: str
    title: str
    caption: str
    chart: altair.TopLevelMixin
    table: Table

    def svg(self) -> str:
        """The chart as a picture of lines; the same records give the same text."""
        raise NotImplementedError

    def png(self) -> bytes:
        """The chart as a picture of points."""
        raise NotImplementedError


Draw = Callable[[Results], Figure | None]
"""Draws a figure of a run; None where the run has no case that belongs on it."""
