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
CELL_WIDTH = 48


class Quantity(float):
    """A number with what belongs to it: a standard deviation, an interval, or a note such as where it comes from.

    It is shown as 0.884 ± 0.012 [0.871, 0.897] (note), and is its number to whoever sorts or computes.
    """

    std: float | None
    interval: tuple[float, float] | None
    note: str

    def __new__(
        cls, value: float, *, std: float | None = None, interval: tuple[float, float] | None = None, note: str = ""
    ) -> "Quantity":
        """Keep the number, and what belongs to it beside it."""
        quantity = super().__new__(cls, value)
        quantity.std, quantity.interval, quantity.note = std, interval, note
        return quantity

    def __format__(self, style: str) -> str:
        """Every part in the same style; a deviation has no sign."""
        text = format(float(self), style)
        if self.std is not None:
            text += f" ± {self.std:{style.removeprefix('+')}}"
        if self.interval is not None:
            text += " [" + ", ".join(format(bound, style) for bound in self.interval) + "]"
        return f"{text} ({self.note})" if self.note else text

    @property
    def parts(self) -> dict[str, float | str]:
        """What belongs to the number, by name."""
        low, high = self.interval or (None, None)
        parts = {"std": self.std, "low": low, "high": high, "note": self.note or None}
        return {name: part for name, part in parts.items() if part is not None}


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
        rows = [[fill(cell, CELL_WIDTH, break_on_hyphens=False) for cell in self.shown(row)] for row in self.rows]
        table = tabulate(rows, headers=[*self.headers], disable_numparse=True)
        notes = (fill(f"- {note}", NOTE_WIDTH, subsequent_indent="  ", break_on_hyphens=False) for note in self.notes)
        return "\n".join([self.title, table, *notes])

    def markdown(self) -> str:
        """The table as GitHub shows it, under a heading."""
        rows = [[cell.replace("|", "\\|") for cell in self.shown(row)] for row in self.rows]
        table = tabulate(rows, headers=[*self.headers], tablefmt="github", disable_numparse=True)
        notes = "\n".join(f"- {note}" for note in self.notes)
        return "\n\n".join(part for part in (f"## {self.title}", table, notes) if part) + "\n"

    def csv(self) -> str:
        """The table as comma-separated values: whole numbers, and nothing where nothing was measured.

        What belongs to a number has a column of its own behind it, such as accuracy std.
        """
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        columns = list(zip(*self.rows, strict=True)) or [()] * len(self.headers)
        parts = [list(dict.fromkeys(part for cell in column for part in _parts(cell))) for column in columns]
        pairs = list(zip(self.headers, parts, strict=True))
        writer.writerow([name for header, names in pairs for name in (header, *(f"{header} {n}" for n in names))])
        for row in self.rows:
            cells = zip(row, parts, strict=True)
            writer.writerow([value for cell, names in cells for value in (_plain(cell), *_values(cell, names))])
        return file.getvalue()


def _parts(cell: Cell) -> dict[str, float | str]:
    return cell.parts if isinstance(cell, Quantity) else {}


def _values(cell: Cell, names: Sequence[str]) -> list[float | str]:
    return [_parts(cell).get(name, "") for name in names]


def _plain(cell: Cell) -> Cell:
    if cell is None:
        return ""
    return float(cell) if isinstance(cell, Quantity) else cell


def _shown(cell: Cell, style: str) -> str:
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return DASH
    return cell if isinstance(cell, str) else format(cell, style)
