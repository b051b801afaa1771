"""A table of the report, in whatever form it is read."""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from textwrap import fill

from tabulate import tabulate

Cell = str | float | int | None
DASH = "-"
NOTE_WIDTH = 140


@dataclass(frozen=True)
class Table:
    """Rows of numbers and texts under their headers, with what a reader has to know to read them.

    `key` names files and anchors, such as table-9. A cell keeps the whole number; `styles` says how it is shown, by the
    header of its column, such as {"accuracy": ".3f"}. None was not measured and is shown as a dash.
    """

    key: str
    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    notes: Sequence[str] = ()
    styles: Mapping[str, str] = field(default_factory=dict)

    def shown(self, row: Sequence[Cell]) -> list[str]:
        """The cells of a row as a reader sees them."""
        return [_shown(cell, self.styles.get(header, "")) for header, cell in zip(self.headers, row, strict=True)]

    def text(self) -> str:
        """The table for a terminal: its title, its rows, and its notes below them."""
        table = tabulate([self.shown(row) for row in self.rows], headers=[*self.headers], disable_numparse=True)
        notes = (fill(f"- {note}", NOTE_WIDTH, subsequent_indent="  ", break_on_hyphens=False) for note in self.notes)
        return "\n".join([self.title, table, *notes])

    def markdown(self) -> str:
        """The table as GitHub shows it, under a heading."""
        rows = [[cell.replace("|", "\\|") for cell in self.shown(row)] for row in self.rows]
        table = tabulate(rows, headers=[*self.headers], tablefmt="github", disable_numparse=True)
        notes = "\n".join(f"- {note}" for note in self.notes)
        return "\n\n".join(part for part in (f"## {self.title}", table, notes) if part) + "\n"

    def csv(self) -> str:
        """The table as comma-separated values: whole numbers, and nothing where nothing was measured."""
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(self.headers)
        writer.writerows(["" if cell is None else cell for cell in row] for row in self.rows)
        return file.getvalue()


def _shown(cell: Cell, style: str) -> str:
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return DASH
    return cell if isinstance(cell, str) else format(cell, style)
