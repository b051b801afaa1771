"""What all figures look like."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import altair

from bench.report.table import Cell

# One colour and shape for every method in all figures. The colours are Okabe and Ito's, some of them darker, so that
# each has a contrast of 3 on white and on black; where two methods share one, their shapes differ.
METHODS = {
    "dense": ("#6b7a8f", "circle"),
    "global": ("#0072b2", "circle"),
    "fine-grained": ("#c48400", "square"),
    "gradual": ("#2d93cf", "diamond"),
    "layer-adaptive": ("#009e73", "triangle-down"),
    "sensitivity": ("#8c6bb1", "cross"),
    "structured": ("#d55e00", "triangle-up"),
    "l2": ("#cc79a7", "circle"),
    "lottery-ticket": ("#d55e00", "cross"),
    "post-training": ("#c48400", "triangle-up"),
    "qat": ("#cc79a7", "square"),
    "degree-quant": ("#8c6bb1", "square"),
    "a2q": ("#009e73", "diamond"),
    "hybrid": ("#2d93cf", "triangle-down"),
}
FOREIGN = ("#6b7a8f", "triangle-right")
PAPER = "paper"
GREY = "#8c8c8c"
# From little to much, apart for the colour-blind and on both backgrounds.
RAMP = ("#2d93cf", "#8c6bb1", "#d55e00")
TEXT = {"labelColor": "currentColor", "titleColor": "currentColor"}
LINES = {
    **{"gridColor": "currentColor", "gridOpacity": 0.12, "domainColor": "currentColor", "domainOpacity": 0.5},
    **{"tickColor": "currentColor", "tickOpacity": 0.5},
}
CONFIG: dict[str, Any] = {
    "background": "transparent",
    "axis": {**TEXT, **LINES, "aria": False, "labelFontSize": 11, "titleFontSize": 11, "titleFontWeight": "normal"},
    "legend": {
        **TEXT,
        **{"aria": False, "orient": "top", "title": None, "labelLimit": 0, "labelFontSize": 11},
        **{"symbolOpacity": 1, "symbolBaseFillColor": "currentColor", "offset": 8},
    },
    "title": {"color": "currentColor", "aria": False, "anchor": "start", "fontSize": 12, "fontWeight": "bold"},
    "mark": {"aria": False},
    "view": {"stroke": None},
    "concat": {"spacing": 24},
}


def inline(rows: Sequence[Mapping[str, Cell]]) -> altair.InlineData:
    """Data in a chart, numbers in the five digits that a picture needs."""
    return altair.InlineData(values=[{name: _rounded(cell) for name, cell in row.items()} for row in rows])


def _rounded(value: Cell) -> Cell:
    return float(f"{value:.5g}") if isinstance(value, float) else value


def colour(method: str) -> str:
    """The colour of a method, or of the paper."""
    return GREY if method == PAPER else METHODS.get(method, FOREIGN)[0]


def method_scales(present: Sequence[str]) -> tuple[altair.Color, altair.Shape]:
    """Colour and shape of the field "method", for those that are there."""
    domain = sorted(set(present), key=lambda name: ([*METHODS].index(name) if name in METHODS else len(METHODS), name))
    looks = [METHODS.get(name, FOREIGN) for name in domain]
    return (
        altair.Color("method:N", scale=altair.Scale(domain=domain, range=[found[0] for found in looks])),
        altair.Shape("method:N", scale=altair.Scale(domain=domain, range=[found[1] for found in looks])),
    )


def tooltip(*fields: str) -> list[altair.Tooltip]:
    """Make tooltips of fields; of a plain text altair looks up what it is in its whole schema, in 7 milliseconds."""
    return [*map(altair.Tooltip, fields)]


def logarithmic(values: Sequence[float], form: str = "~s") -> dict[str, Any]:
    """Scale and axis for numbers that span decades: a line at every decade, or at 1, 2 and 5 where there are few."""
    first, last = (math.floor(math.log10(value)) for value in (min(values), max(values)))
    within = (1, 2, 5) if last - first < 3 else (1,)
    ticks = [part * 10.0**decade for decade in range(first, last + 1) for part in within]
    shown = [tick for tick in ticks if min(values) <= tick <= max(values)]
    return {
        "scale": altair.Scale(type="log", domain=[min(values), max(values)], nice=False, padding=8),
        "axis": altair.Axis(values=shown or [min(values)], format=form),
    }


def panels(
    charts: Sequence[altair.Chart | altair.LayerChart],
    labels: Iterable[str] = (),
    *,
    margin: int = 66,
    width: int = 250,
) -> altair.ConcatChart:
    """Charts side by side, in as many columns as fit.

    Args:
        charts: One for each panel, with a title.
        labels: What the legends say.
        margin: Pixels beside each panel for its axis.
        width: The least pixels that a panel is readable in.
    """
    label = 40 + 6 * max(map(len, labels), default=0)
    chart = altair.concat(*charts, columns=2, usermeta={"margin": margin, "width": width, "label": label})
    return chart.configure(**CONFIG)
