"""How cases changed over the results files of a folder, run by run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import altair

from bench.report.figure import Figure
from bench.report.figures.style import panels, tooltip
from bench.report.table import Cell, Table
from fixtures.record import Record, Results, read_results
from gnn.errors import GnnError

METRICS = ("accuracy", "bytes", "x faster")
HEADERS = ("run", "date", "commit", "machine class", "case", "metric", "value", "of the first", "seeds")
STYLES = {"value": ",.6g", "of the first": ".4f"}
MOST_LINES = 6
# Okabe and Ito's, which the colour-blind tell apart, less the yellow that is lost on white.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
UNDATED = "no date"


@dataclass(frozen=True)
class History:
    """Runs, oldest first, and why other files of the folder are not among them."""

    runs: tuple[tuple[str, Results], ...]
    left_out: tuple[str, ...] = ()

    @property
    def table(self) -> Table:
        """A row for each value of each case in each run, beside its value in the first run that has it."""
        first: dict[tuple[str, str], float] = {}
        rows: list[list[Cell]] = []
        for number, (_, results) in enumerate(self.runs, start=1):
            for record in results.cases:
                for metric, value in _values(record):
                    start = first.setdefault((record.id, metric), value)
                    when = [number, results.date or UNDATED, str(results.commit), results.machine.get("class")]
                    share = value / start if start else None
                    rows.append([*when, record.id, metric, value, share, len(record.seeds)])
        notes = [
            f"{len(self.runs)} runs, oldest first; a case has a value where a run has it, and a ratio of latencies "
            "compares within one class of machines alone",
            *(f"run {number} is {name}" for number, (name, _) in enumerate(self.runs, start=1)),
            *self.left_out,
        ]
        return Table("history", "Run by run", HEADERS, rows, notes, STYLES)

    def figure(self) -> Figure:
        """The lines of the cases that moved most between any two runs, over all others in grey."""
        table = self.table
        places = {header: place for place, header in enumerate(HEADERS)}
        rows = [row for row in table.rows if row[places["of the first"]] is not None]
        moved = _moved_most(rows)
        points = [
            {
                "run": f"{row[0]}: {row[2]}",
                "case": row[places["case"]],
                "metric": row[places["metric"]],
                "share": row[places["of the first"]],
                "value": row[places["value"]],
                "date": row[places["date"]],
                "shown": row[places["case"]] if row[places["case"]] in moved else "others",
            }
            for row in rows
        ]
        order = [f"{number}: {results.commit}" for number, (_, results) in enumerate(self.runs, start=1)]
        of_metric = {metric: [point for point in points if point["metric"] == metric] for metric in METRICS}
        shown = [_panel(metric, found, order, moved) for metric, found in of_metric.items() if found]
        chart = panels(shown, [*moved, "others"])
        caption = (
            f"Every case as a share of its value in the first run that has it; in colour the {len(moved)} that moved "
            "most, worst or best. Lines join runs in the order of their dates, each with its commit."
        )
        return Figure("history", "Run by run", caption, chart, table)


def history(folder: Path) -> History:
    """Read all results files of a folder.

    Args:
        folder: Where they are, each with the ending .json.

    Returns:
        The runs in the order of their dates, those of older files without one first, by name. Files that are no
        results, and runs of another protocol than the newest, are left out with a reason.

    Raises:
        GnnError: There is no folder of this name, or no results file in it.
    """
    if not folder.is_dir():
        raise GnnError(f"--history {folder} is no folder; name one with files that --results wrote")
    found: list[tuple[str, Results]] = []
    left_out = []
    for path in sorted(folder.glob("*.json")):
        try:
            found.append((path.name, read_results(path)))
        except GnnError as error:
            left_out.append(f"left out: {error}")
    if not found:
        raise GnnError(f"--history {folder} holds no file that --results wrote; put the records of several runs there")
    found.sort(key=lambda run: run[1].date or "")
    protocol = found[-1][1].protocol
    foreign = [name for name, results in found if results.protocol != protocol]
    left_out += [f"left out: {name} is of another protocol than {protocol}, that of the newest run" for name in foreign]
    return History(tuple(run for run in found if run[0] not in foreign), tuple(left_out))


def _values(record: Record) -> list[tuple[str, float]]:
    values = {
        "accuracy": record.accuracy.mean,
        "bytes": record.size_bytes.encoded,
        "x faster": record.speedup.compression,
    }
    return [] if record.not_finite else [(name, value) for name, value in values.items() if value is not None]


def _moved_most(rows: Sequence[Sequence[Cell]]) -> list[str]:
    """The cases of which some metric differs most between two runs, the first of them first."""
    shares: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        shares.setdefault((str(row[4]), str(row[5])), []).append(float(row[7] or 0.0))
    widest: dict[str, float] = {}
    for (case, _), values in shares.items():
        widest[case] = max(widest.get(case, 0.0), max(values) - min(values))
    ordered = sorted((case for case in widest if widest[case] > 0), key=lambda case: (-widest[case], case))
    return ordered[:MOST_LINES]


def _panel(metric: str, points: Sequence[dict[str, Cell]], order: Sequence[str], moved: Sequence[str]) -> altair.Chart:
    scale = altair.Scale(domain=[*moved, "others"], range=[*COLOURS[: len(moved)], "#b8b8b8"])
    fields = {"case": "N", "value": "Q", "share": "Q", "date": "N"}
    chart = altair.Chart(altair.Data(values=[*points]), title=metric, height=160).mark_line(point=True)
    return chart.encode(
        x=altair.X("run:N", sort=[*order], title="run: commit"),
        y=altair.Y("share:Q", title="share of the first run", scale=altair.Scale(zero=False)),
        color=altair.Color("shown:N", scale=scale),
        detail=altair.Detail("case:N"),
        tooltip=tooltip(*(f"{name}:{kind}" for name, kind in fields.items())),
    )
