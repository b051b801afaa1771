"""Beyond the paper: the two speed-ups of every method, and what winning tickets differ by."""

from collections.abc import Sequence
from typing import Any

import altair

from bench.report.figure import Figure, Missing
from bench.report.figures.registry import by_model, draws, finite
from bench.report.figures.style import inline, logarithmic, method_scales, panels
from bench.report.lottery import MARGIN, ticket_differences
from bench.report.table import Cell, Table
from fixtures.record import Record, Results

RUNTIME = "runtime alone"
INTERVALS = {"from": "+.4f", "to": "+.4f"}
Row = dict[str, Any]


@draws
def draw_speed_ups(results: Results) -> list[Figure | Missing]:
    """One panel per model and batch, one line per method; the runtime has one of its own."""
    key, title = "speed-ups", "Speed-up of every method, and of the runtime without any"
    rows = {name: found for name, records in by_model(finite(results)) if (found := _speed_ups(records))}
    if not rows:
        return [Missing(key, title, "no case was timed")]
    every = [row for found in rows.values() for row in found]
    color, _ = method_scales([row["method"] for row in every])
    x = altair.X(
        "ratio:Q", title="times faster (right is faster)", **logarithmic([row["ratio"] for row in every], "~g")
    )
    charts = []
    for name, found in rows.items():
        y = altair.Y("line:N", title=None, sort=list(dict.fromkeys(row["line"] for row in found)), axis=_labels())
        drawn = [{name: cell for name, cell in row.items() if name != "batch"} for row in found]
        base = altair.Chart(inline(drawn)).encode(x=x, y=y, color=color.legend(None))
        tooltip = ["case:N", "ratio:Q", "from:Q", "to:Q"]
        even = altair.Chart(inline([{"ratio": 1.0}])).mark_rule(color="currentColor", opacity=0.5).encode(x="ratio:Q")
        whiskers = base.mark_rule(opacity=0.4).encode(x="from:Q", x2="to:Q")
        marks = base.mark_point(filled=True, size=40, opacity=0.7).encode(tooltip=tooltip)
        lines = len({row["line"] for row in found})
        charts.append(
            altair.layer(even, whiskers, marks).properties(title=[name, found[0]["batch"]], height=20 * lines)
        )
    caption = (
        f"{RUNTIME}: plain eager PyTorch against our FP32 runtime, both dense, so nothing of it is due to compression. All "
        "others: our FP32 runtime against the same with the compressed model. One mark is one case, with its 95% interval."
    )
    headers = ["model", "batch", "line", "case", "ratio", "from", "to"]
    cells = [[name, *(row[header] for header in headers[1:])] for name, found in rows.items() for row in found]
    table = Table(key, title, headers, cells, styles=dict.fromkeys(("ratio", "from", "to"), ".3f"))
    return [Figure(key, title, caption, panels(charts, margin=130, width=220), table)]


def _labels() -> altair.Axis:
    return altair.Axis(minExtent=110, labelLimit=110)


def _speed_ups(records: Sequence[Record]) -> list[Row]:
    """Of the dense model the runtime's, of all others the compression's, where they were timed."""
    rows = []
    for record in records:
        speedup, dense = record.speedup, record.method == "dense" and record.precision == "fp32"
        ratio, ci95 = (
            (speedup.runtime, speedup.runtime_ci95) if dense else (speedup.compression, speedup.compression_ci95)
        )
        # What was trained on or stored in fewer bits has the dense model's runtime.
        if (
            ratio is not None
            and ratio > 0
            and not (dense and record.fine_tuned)
            and (dense or record.method != "dense")
        ):
            low, high = ci95 or (None, None)
            row: Row = {"case": record.id, "method": record.method, "line": RUNTIME if dense else record.method}
            rows.append(row | {"ratio": ratio, "from": low, "to": high, "batch": record.latency_s.batch})
    return sorted(rows, key=lambda row: (row["line"] != RUNTIME, row["line"], row["case"]))


@draws
def draw_tickets(results: Results) -> list[Figure | Missing]:
    """One panel per comparison: a ticket against the dense model, its random twin and one-shot pruning."""
    key, title = "tickets", "Lottery tickets against what they have to beat"
    rows = [
        {"line": f"{record.case_model}, {record.settings['start']}", "start": record.settings["start"]}
        | {"against": f"ticket - {against}", "case": record.id, "difference": found.mean}
        | dict(zip(("from", "to"), found.ci95 or (None, None), strict=True))
        for record, against, found in ticket_differences(finite(results))
    ]
    if not rows:
        return [Missing(key, title, "no lottery ticket was run")]
    starts = list(dict.fromkeys(str(row["start"]) for row in rows))
    charts = [
        _tickets(name, [row for row in rows if row["against"] == name])
        for name in dict.fromkeys(r["against"] for r in rows)
    ]
    caption = (
        f"Differences of the accuracy, paired by seed, with 95% intervals. A ticket wins where its interval against dense "
        f"lies right of {MARGIN:g} below 0 (the thin line) and that against random right of 0; init and early are the "
        "weights that it is rewound to."
    )
    headers = ["against", "case", "difference", "from", "to"]
    cells = [[row[header] for header in headers] for row in rows]
    table = Table(key, title, headers, cells, styles={"difference": "+.4f", **INTERVALS})
    return [Figure(key, title, caption, panels(charts, starts, margin=170, width=190), table)]


def _tickets(name: str, rows: Sequence[Row]) -> altair.LayerChart:
    axis = altair.Axis(minExtent=150, labelLimit=150)
    base = altair.Chart(inline(rows)).encode(
        y=altair.Y("line:N", title=None, axis=axis),
        color=altair.Color("start:N", scale=altair.Scale(range=["#0072b2", "#d55e00"])),
    )
    x = {"title": "difference of the accuracy", "axis": altair.Axis(tickCount=5, format="+.2f")}
    bounds = [{"bound": 0.0}, *([{"bound": -MARGIN}] if "dense" in name else [])]
    lines = altair.Chart(inline(bounds)).mark_rule(color="currentColor", opacity=0.5).encode(x=altair.X("bound:Q", **x))
    whiskers = base.mark_rule(strokeWidth=1.5).encode(x=altair.X("from:Q", **x), x2="to:Q")
    marks = base.mark_point(filled=True, size=50, opacity=1).encode(
        x=altair.X("difference:Q", **x), shape="start:N", tooltip=["case:N", "difference:Q", "from:Q", "to:Q"]
    )
    height = 20 * len({row["line"] for row in rows})
    return altair.layer(lines, whiskers, marks).properties(title=name, height=height)
