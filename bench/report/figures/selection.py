"""Which records a figure shows, and what figures share."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fixtures.record import Record, Scores
from gnn.errors import GnnError

Records = Sequence[Record]
Machine = Mapping[str, Any]

METHODS = {"global": "global magnitude pruning", "fine-grained": "fine-grained pruning"}
COLORS = {"global": "tab:blue", "fine-grained": "tab:orange"}
MACHINE = "{cpu}, {instruction_set}"


def names(records: Records) -> list[str]:
    """The task and model of all records, each once, in the order of the alphabet."""
    return sorted({record.case_model for record in records})


def dense(records: Records, *, fine_tuned: bool = False) -> Record | None:
    """The first dense model, or the one that was trained on for as long as a pruned model is fine-tuned."""
    return next(iter(of_method(records, "dense", fine_tuned=fine_tuned)), None)


def of_method(records: Records, method: str, *, fine_tuned: bool) -> list[Record]:
    """The cases of a method that are stored without a loss."""
    return [
        record
        for record in records
        if record.method == method and record.fine_tuned is fine_tuned and record.precision == "fp32"
    ]


def one_model(records: Records) -> Records:
    """The records of one model: that of a dense SplineNet where there is one, else that of the first dense model."""
    chosen = dense([record for record in records if record.model == "spline"]) or dense(records)
    if chosen is None:
        raise GnnError("the results hold no dense case to compare with; run the suite without -k")
    return [record for record in records if record.case_model == chosen.case_model]


def needed(records: Records, what: str) -> Records:
    """The same records; raises `GnnError` when there are none."""
    if not records:
        raise GnnError(f"the results hold no {what} to draw; run the suite with a profile and a -k that select some")
    return records


def panels(rows: int, columns: int, *, share_y: bool = True) -> tuple[Figure, list[list[Axes]]]:
    """A figure with a grid of axes, row by row."""
    figure = Figure(figsize=(max(7.5, 3.6 * columns), 0.8 + 3.0 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharey="row" if share_y else "none")
    return figure, [list(row) for row in grid]


def draw_means(axes: Axes, places: Sequence[float], accuracies: Sequence[Scores], **style: Any) -> None:  # noqa: ANN401
    """A line through means over seeds, with their standard deviations as bars; one seed has none."""
    deviations = [math.nan if scores.std is None else scores.std for scores in accuracies]
    axes.errorbar(places, [scores.mean for scores in accuracies], deviations, markersize=4, capsize=2, **style)
