"""What a run ends with in a terminal, as a picture."""

import re
from html import escape
from textwrap import wrap

from bench.matrix import TABLE
from bench.report.front import verdict_of
from fixtures.record import Results
from fixtures.summary import notes, summary_table
from gnn.errors import GnnError

FONT = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace"
SIZE, ADVANCE, LEADING, MARGIN = 13, 7.8, 18, 14
COLUMNS = 150
COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def terminal_picture(text: str, columns: int = COLUMNS) -> str:
    """Text as SVG: one font, dark on light, every line as wide as its characters whatever the font is.

    Args:
        text: What a terminal showed; the codes of its colours are left out.
        columns: Longer lines are wrapped.

    Returns:
        The picture; the same text gives the same one.

    Raises:
        GnnError: There is no text.
    """
    lines = [part for line in COLOURS.sub("", text).expandtabs().splitlines() for part in _wrapped(line, columns)]
    if not any(lines):
        raise GnnError("there is no text to draw")
    width = 2 * MARGIN + max(map(len, lines)) * ADVANCE
    height = 2 * MARGIN + len(lines) * LEADING
    drawn = [_drawn(line, row) for row, line in enumerate(lines) if line.strip()]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" '
        f'height="{height}" font-family="{FONT}" font-size="{SIZE}" fill="#1f2328">'
    )
    background = f'<rect width="{width:.0f}" height="{height}" rx="6" fill="#f6f8fa"/>'
    return "\n".join([head, background, *drawn, "</svg>"]) + "\n"


def _wrapped(line: str, columns: int) -> list[str]:
    if len(line) <= columns:
        return [line.rstrip()]
    return wrap(line, columns, subsequent_indent="  ", break_on_hyphens=False)


def _drawn(line: str, row: int) -> str:
    """One line; blanks that do not collapse and a fixed length keep columns below each other."""
    shown = line.lstrip()
    x, y = MARGIN + (len(line) - len(shown)) * ADVANCE, MARGIN + row * LEADING + SIZE
    text = escape(shown, quote=False).replace(" ", "\N{NO-BREAK SPACE}")
    return f'<text x="{x:.1f}" y="{y}" textLength="{len(shown) * ADVANCE:.1f}">{text}</text>'


def run_text(results: Results) -> str:
    """What a run ends with in a terminal: its rows of the quick profile, what there is to know, and its verdict."""
    finite = [record for record in results.cases if not record.not_finite]
    quick = {row.case.id for row in TABLE if "quick" in row.seeds}
    rows = [record for record in finite if record.id in quick] or finite
    if not rows:
        raise GnnError("the run has no case that could be drawn")
    left_out = f"{len(rows)} of {len(finite)} cases: those of the quick profile" if len(rows) < len(finite) else ""
    machine = f"{results.machine.get('cpu', 'an unknown processor')}, profile {results.profile}, {results.date}"
    lines = [summary_table(rows), *notes(rows), left_out, machine, verdict_of(results)]
    return "\n".join(line for line in lines if line)
