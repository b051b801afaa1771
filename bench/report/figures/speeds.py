"""Beyond the paper: the two speed-ups of every method, and what winning tickets differ by."""

from collections.abc import Sequence
from typing import Any

import altair

from bench.report.figure import Figure, Missing
from bench.report.figures.registry import draws, finite, is_dense
from bench.report.figures.style import colour, inline, logarithmic, method_scales, panels, tooltip
from bench.report.lottery import MARGIN, ticket_differences
from bench.report.table import Table
from fixtures.record import Record, Results

RUNTIME = "the runtime alone, nothing compressed"
STYLES: dict[str, str] = dict.fromkeys(("ratio", "from", "to"), ".3f")
# Speed-ups that every panel has room for, so that noise around 1 looks like noise.
SEEN = (0.5, 2.0)
Row = dict[str, Any]


@draws
def draw_speed_ups(results: Results) -> list[Figure | Missing]:
    """One panel for the runtime with a line per model, and one per model and batch with a line per method."""
    key, title = "speed-ups", "Speed-up of the runtime, and of every method on it"
    rows = [row for record in finite(results) if (row := _speed_up(record))]
    if not rows:
        return [Missing(key, title, "no case was timed")]
    names = sorted({row["panel"] for row in rows}, key=lambda name: (name != RUNTIME, name))
    caption = (
        "The runtime alone: plain eager PyTorch against our FP32 runtime, both dense, so nothing of it is due to "
        "compression. Panels of models: our FP32 runtime against the same with the compressed model, for one pass over "
        "the batch below the name. A mark is a case, with its 95% interval; further right is faster."
    )
    headers = ["panel", "batch", "line", "case", *STYLES]
    cells = [[row[header] for header in headers] for name in names for row in rows if row["panel"] == name]
    color, _ = method_scales([row["method"] for row in rows])
    charts = [_speeds(name, [row for row in rows if row["panel"] == name], color.legend(None)) for name in names]
    return [
        Figure(
            key, title, caption, panels(charts, margin=150, width=200), Table(key, title, headers, cells, (), STYLES)
        )
    ]


def _speed_up(record: Record) -> Row | None:
    """Of the dense model the runtime's, of all others the compression's, where they were timed."""
    speedup, dense = record.speedup, is_dense(record)
    ratio, ci95 = (speedup.runtime, speedup.runtime_ci95) if dense else (speedup.compression, speedup.compression_ci95)
    # Weights that are stored in fewer bits run as the dense model does.
    if ratio is None or ratio <= 0 or (record.method == "dense" and not dense):
        return None
    low, high = ci95 or (None, None)
    place = (RUNTIME, record.case_model) if dense else (record.case_model, record.method)
    row = dict(zip(("panel", "line"), place, strict=True)) | {"case": record.id, "method": record.method}
    return row | {"ratio": ratio, "from": low, "to": high, "batch": record.latency_s.batch}


def _speeds(name: str, rows: Sequence[Row], color: altair.Color) -> altair.LayerChart:
    found = [
        value for row in rows for value in map(row.get, ("ratio", "from", "to")) if value is not None and value > 0
    ]
    x = {"title": "times faster", **logarithmic([*SEEN, *found], "~g")}
    y = altair.Y("line:N", title=None, axis=altair.Axis(minExtent=130, labelLimit=130))
    shown = [{key: cell for key, cell in row.items() if key not in ("panel", "batch")} for row in rows]
    base = altair.Chart(inline(shown)).encode(y=y, color=color)
    even = altair.Chart(inline([{"even": 1.0}])).mark_rule(color="currentColor", opacity=0.5)
    layers = [
        even.encode(x=altair.X("even:Q", **x)),
        base.mark_point(filled=True, size=40, opacity=0.7).encode(
            x=altair.X("ratio:Q", **x), tooltip=tooltip("case:N", "ratio:Q", "from:Q", "to:Q")
        ),
    ]
    if any(row["from"] is not None for row in rows):
        layers.insert(1, base.mark_rule(opacity=0.4).encode(x=altair.X("from:Q", **x), x2=altair.X2("to:Q")))
    title = name if name == RUNTIME else [name, *dict.fromkeys(row["batch"] for row in rows)]
    return altair.LayerChart(layer=layers, title=title, height=20 * len({row["line"] for row in rows}))


@draws
def draw_tickets(results: Results) -> list[Figure | Missing]:
    """One panel per comparison: a ticket against the dense model, its random twin and one-shot pruning."""
    key, title = "tickets", "Lottery tickets against what they have to beat"
    rows: list[Row] = [
        {"line": f"{record.case_model}, {record.settings['start']}"}
        | {"against": f"ticket - {against}", "case": record.id, "difference": found.mean}
        | dict(zip(("from", "to"), found.ci95 or (None, None), strict=True))
        for record, against, found in ticket_differences(finite(results))
    ]
    if not rows:
        return [Missing(key, title, "no lottery ticket was run")]
    charts = [
        _tickets(name, [row for row in rows if row["against"] == name])
        for name in dict.fromkeys(r["against"] for r in rows)
    ]
    caption = (
        "Differences of the accuracy, paired by seed, with 95% intervals. A ticket wins where its interval against "
        f"dense lies right of {-MARGIN:g} and that against random right of 0; init and early are the weights that it "
        "is rewound to."
    )
    headers = ["against", "case", "difference", "from", "to"]
    cells = [[row[header] for header in headers] for row in rows]
    table = Table(key, title, headers, cells, styles={"difference": "+.4f", "from": "+.4f", "to": "+.4f"})
    return [Figure(key, title, caption, panels(charts, margin=170, width=190), table)]


def _tickets(name: str, rows: Sequence[Row]) -> altair.LayerChart:
    axis = altair.Axis(minExtent=150, labelLimit=150)
    base = altair.Chart(inline(rows)).encode(
        y=altair.Y("line:N", title=None, axis=axis),
    )
    x = {
        "title": "difference of the accuracy",
        "axis": altair.Axis(tickCount=4, format="+.3~f"),
        "scale": altair.Scale(padding=8),
    }
    bounds = [{"bound": 0.0}, *([{"bound": -MARGIN}] if "dense" in name else [])]
    lines = altair.Chart(inline(bounds)).mark_rule(color="currentColor", opacity=0.5).encode(x=altair.X("bound:Q", **x))
    whiskers = base.mark_rule(strokeWidth=1.5, color=colour("lottery-ticket")).encode(
        x=altair.X("from:Q", **x), x2=altair.X2("to:Q")
    )
    marks = base.mark_point(filled=True, size=50, opacity=1, color=colour("lottery-ticket")).encode(
        x=altair.X("difference:Q", **x), tooltip=tooltip("case:N", "difference:Q", "from:Q", "to:Q")
    )
    height = 20 * len({row["line"] for row in rows})
    return altair.LayerChart(layer=[lines, whiskers, marks], title=name, height=height)
