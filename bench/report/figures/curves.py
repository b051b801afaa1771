"""Curves over a setting: the seeds as dots, the mean with its interval, and what the paper reports behind them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import altair

from bench.matrix import TABLE
from bench.report.figures.style import PAPER, colour, inline, panels, tooltip
from bench.report.reported import read_reported_compression
from bench.report.table import Cell, Table
from fixtures.paired import paired_difference
from fixtures.record import Record
from gnn.case import Case

# Of the curves of a panel, in the order in which they are given.
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right", "triangle-left")
SOLID, DASHED = [1, 0], [4, 3]
TOLD = [
    *tooltip("case:N", "curve:N"),
    altair.Tooltip("y:Q", title="value"),
    altair.Tooltip("std:Q", title="± std"),
    *tooltip("seeds:Q"),
]
OURS = f"datum.method != '{PAPER}'"


@dataclass(frozen=True)
class Point:
    """A value of a case: `method` gives its colour, `curve` its dash and shape, `column` its place in the table."""

    panel: str
    case: str
    method: str
    curve: str
    column: str
    x: float
    y: float
    std: float | None = None
    ci95: tuple[float, float] | None = None
    seeds: Sequence[float] = ()
    dashed: bool = False


def accuracy_point(
    record: Record, panel: str, curve: str, x: float, *, method: str = "", dashed: bool = False
) -> Point:
    """The accuracy of a case over its seeds, with the 95% interval of its mean by Student's t."""
    accuracy = record.accuracy
    numbers = accuracy.mean, accuracy.std, interval(accuracy.values), accuracy.values
    return Point(panel, record.id, method or record.method, curve, "accuracy", x, *numbers, dashed)


def interval(values: Sequence[float]) -> tuple[float, float] | None:
    """The 95% interval of a mean; None for a single value."""
    # The difference from nothing is the value itself.
    return paired_difference(values, [0.0] * len(values)).ci95


def paper_points(
    table: str, metric: str, setting: str, model: str, panel: str, curve: str, *, dashed: bool = False
) -> list[Point]:
    """What a table of the paper reports of a model, by a setting such as "sparsity"; the dense model has none of it."""
    return [
        Point(panel, case.id, PAPER, curve, PAPER, getattr(case.compression, setting, 0.0), value, std, dashed=dashed)
        for case, value, std in _reported(table, metric)
        if f"{case.task}.{case.model}" == model
    ]


@cache
def _reported(table: str, metric: str) -> list[tuple[Case, float, float | None]]:
    cases = {row.case.id: row.case for row in TABLE}
    entries = [entry for entry in read_reported_compression() if (entry.table, entry.metric) == (table, metric)]
    return [(cases[entry.row], entry.value, entry.std) for entry in entries if entry.value is not None]


def curves(
    points: Sequence[Point], x: Mapping[str, Any], y: Mapping[str, Any], height: int = 170
) -> altair.ConcatChart:
    """The curves of all points, one panel for each name of a panel; `x` and `y` are what altair knows of the axes."""
    methods = list(dict.fromkeys(point.method for point in points))
    names = list(dict.fromkeys(point.curve for point in points))
    dashed = {point.curve for point in points if point.dashed}
    # The paper's curves have the dashes of ours.
    told = [name for name in names if any(point.curve == name and point.method != PAPER for point in points)]
    legend = altair.Legend(values=told) if len(told) > 1 else None
    dashes = altair.Scale(domain=names, range=[DASHED if name in dashed else SOLID for name in names])
    shapes = altair.Scale(domain=names, range=[SHAPES[index % len(SHAPES)] for index in range(len(names))])
    dash = altair.StrokeDash("curve:N", scale=dashes, legend=legend)
    shape = altair.Shape("curve:N", scale=shapes, legend=legend)
    color = altair.Color("method:N", scale=altair.Scale(domain=methods, range=[*map(colour, methods)]))
    if len(methods) == 1:
        color = color.legend(None)

    def panel(name: str) -> altair.LayerChart:
        shown = [point for point in points if point.panel == name]
        base = altair.Chart()
        marks = base.mark_point(filled=True, size=30, opacity=1).transform_filter(OURS)
        layers = [
            base.mark_line(strokeWidth=1.5).encode(strokeDash=dash),
            marks.encode(shape=shape, tooltip=TOLD),
        ]
        if any(point.ci95 for point in shown):
            layers.insert(1, base.mark_rule().encode(y=altair.Y("low:Q"), y2=altair.Y2("high:Q")))
        if any(point.seeds for point in shown):
            layers.insert(0, _dots(max(len(point.seeds) for point in shown)))
        panel = altair.layer(*layers, data=inline([_datum(point) for point in shown]))
        return panel.encode(x=altair.X("x", **x), y=altair.Y("y:Q", **y), color=color).properties(
            title=name, height=height
        )

    return panels([panel(name) for name in dict.fromkeys(point.panel for point in points)], [*methods, *told])


def _dots(seeds: int) -> altair.Chart:
    """The value of every seed: a line that is broken after each point is a dot there, and all of them are one mark."""
    dots = altair.Chart().mark_line(
        strokeCap="round", strokeWidth=4, opacity=0.35, invalid="break-paths-show-path-domains"
    )
    folded = dots.transform_fold([part for seed in range(seeds) for part in (f"s{seed}", "none")], as_=["seed", "each"])
    return folded.encode(y=altair.Y("each:Q"), detail=altair.Detail("curve:N"), order=altair.value(0))


def _datum(point: Point) -> dict[str, Cell]:
    """What is drawn of a point, and told of it; nothing is told of the paper's."""
    low, high = point.ci95 or (None, None)
    told = {} if point.method == PAPER else {"case": point.case, "std": point.std, "seeds": len(point.seeds) or None}
    drawn = {"method": point.method, "curve": point.curve, "x": point.x, "y": point.y, "low": low, "high": high}
    return told | drawn | {f"s{seed}": value for seed, value in enumerate(point.seeds)}


def curve_table(key: str, title: str, points: Sequence[Point], setting: str, notes: Sequence[str] = ()) -> Table:
    """The same numbers: one row per case and panel, with the paper's beside ours."""
    rows: dict[tuple[str, str, float], dict[str, Cell]] = {}
    for point in sorted(points, key=lambda point: point.method == PAPER):
        row = rows.setdefault((point.panel, point.case, point.x), {})
        row[point.column] = point.y
        if point.std is not None:
            row[f"{point.column} ± std"] = point.std
        if point.ci95:
            row |= {"95% from": point.ci95[0], "to": point.ci95[1]}
        if point.seeds:
            row |= {"seeds": len(point.seeds), "of each seed": " ".join(f"{value:.5g}" for value in point.seeds)}
    columns = list(dict.fromkeys(header for row in rows.values() for header in row))
    cells = [[panel, case, x, *map(row.get, columns)] for (panel, case, x), row in sorted(rows.items())]
    styles = {header: ".4g" for header in columns if header not in ("seeds", "of each seed")}
    return Table(key, title, ["panel", "case", setting, *columns], cells, notes, styles | {setting: "g"})
