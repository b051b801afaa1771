"""Beyond the paper: what no other case of a model beats, task by task, and how many times smaller files are."""

from collections.abc import Callable, Sequence
from typing import Any

import altair

from bench.report.figure import Figure, Missing
from bench.report.figures.curves import Point, curve_table, curves, interval, paper_points
from bench.report.figures.registry import by_model, compared_models, draws, finite
from bench.report.figures.settings import ACCURACY, SPARSITY, of_method
from bench.report.figures.style import inline, logarithmic, method_scales, panels, tooltip
from bench.report.pareto import front
from bench.report.table import Table
from fixtures.record import Record, Results

Row = dict[str, Any]
# What loses more than this to the best of its model would leave the others no room to differ in.
SHOWN_LOSS = 0.1
HEADERS = ("model", "case", "bytes", "accuracy", "95% from", "to", "seeds", "on the front")


@draws
def draw_fronts(results: Results) -> list[Figure | Missing]:
    """Accuracy over the bytes of the file, a figure for each task."""
    models = compared_models(finite(results))
    if not models:
        return [Missing("pareto", "Accuracy against bytes", "no model was run with two compressed cases")]
    tasks = dict.fromkeys(records[0].task for _, records in models)
    return [_front_of(task, [model for model in models if model[1][0].task == task]) for task in tasks]


def _front_of(task: str, models: Sequence[tuple[str, list[Record]]]) -> Figure:
    key, title = f"pareto-{task}", f"Accuracy against bytes: {task}"
    rows = {name: _rows(records) for name, records in models}
    methods = [str(row["method"]) for of_model in rows.values() for row in of_model]
    color, shape = method_scales(methods)
    caption = (
        "Filled and with their 95% intervals: cases that no other of the model beats in bytes, accuracy and speed; on "
        "the line: in bytes and accuracy alone. Left is smaller, up more accurate; the dense model is one of the cases."
    )
    near = {name: _near(found) for name, found in rows.items()}
    if left_out := sum(len(rows[name]) - len(near[name]) for name in rows):
        caption += (
            f" In the table only, since they lose more than {SHOWN_LOSS:g} to the best of their model: {left_out}."
        )
    cells = [[name, *(row.get(header) for header in HEADERS[1:])] for name, found in rows.items() for row in found]
    styles = {"bytes": ",.0f", "accuracy": ".4f", "95% from": ".4f", "to": ".4f"}
    charts = [_panel(name, found, color, shape) for name, found in near.items()]
    return Figure(
        key, title, caption, panels(charts, methods, width=290), Table(key, title, HEADERS, cells, styles=styles)
    )


def _rows(records: Sequence[Record]) -> list[Row]:
    best = {record.id for record in front(records)}
    rows = []
    for record in sorted(records, key=lambda record: record.size_bytes.encoded):
        low, high = interval(record.accuracy.values) or (None, None)
        row: Row = {"case": record.id, "method": record.method, "bytes": record.size_bytes.encoded}
        row |= {"accuracy": record.accuracy.mean, "95% from": low, "to": high, "seeds": len(record.seeds)}
        rows.append(row | {"on the front": "yes" if record.id in best else "no"})
    return rows


def _near(rows: Sequence[Row]) -> list[Row]:
    """The cases whose accuracy is near that of the best."""
    best = max(row["accuracy"] for row in rows)
    return [row for row in rows if row["accuracy"] >= best - SHOWN_LOSS or row["on the front"] == "yes"]


def _panel(name: str, rows: Sequence[Row], color: altair.Color, shape: altair.Shape) -> altair.LayerChart:
    x = altair.X("bytes:Q", title="bytes of the file", **logarithmic([row["bytes"] for row in rows]))

    def drawn(shown: Sequence[Row], value: str = "accuracy") -> altair.Chart:
        renamed = [
            {key.removeprefix("95% "): cell for key, cell in row.items() if key != "on the front"} for row in shown
        ]
        return altair.Chart(inline(renamed)).encode(x=x, y=altair.Y(f"{value}:Q", **ACCURACY))

    best, rest = ([row for row in rows if row["on the front"] == answer] for answer in ("yes", "no"))
    told = tooltip("case:N", "bytes:Q", "accuracy:Q", "from:Q", "to:Q", "seeds:Q")
    marks = {"color": color, "shape": shape, "tooltip": told}
    layers = [
        drawn(rest).mark_point(size=26, opacity=0.55).encode(**marks),
        drawn(_stairs(best)).mark_line(color="currentColor", opacity=0.35, strokeWidth=1.5),
        drawn(best, "from").mark_rule(opacity=0.6).encode(y2=altair.Y2("to:Q"), color=color),
        drawn(best).mark_point(filled=True, size=60, opacity=1).encode(**marks),
    ]
    return altair.LayerChart(layer=layers, title=name, height=260)


def _stairs(best: Sequence[Row]) -> list[Row]:
    """The cases that are more accurate than all smaller ones, smallest first."""
    found: list[Row] = []
    for row in best:
        if not found or row["accuracy"] > found[-1]["accuracy"]:
            found.append(row)
    return found


SIZES: dict[str, Callable[[Record], float]] = {
    "Algorithm 1, which cannot be decoded": lambda record: record.size_bytes.algorithm1,
    "the file that is read back and run": lambda record: record.size_bytes.encoded,
    "entropy of the weights (bound)": lambda record: record.size_bytes.entropy_bound,
}


@draws
def draw_sizes(results: Results) -> list[Figure | Missing]:
    """How many times smaller files are over the sparsity of global pruning, beside the paper's Algorithm 1."""
    key, title, points = "sizes", "How many times smaller the file is, against sparsity", list[Point]()
    for name, records in by_model(finite(results)):
        cases = of_method(records, "global", tuned=False)
        if cases:
            reported = paper_points("9", "algorithm1_ratio", "sparsity", name, name, "paper, Algorithm 1", dashed=True)
            points += reported
        for words, size in SIZES.items():
            points += [
                Point(name, r.id, "global", words, words, r.settings.get("sparsity", 0.0), r.size_bytes.dense / size(r))
                for r in cases
                if size(r) > 0
            ]
    if not points:
        return [Missing(key, title, "no case of global pruning without fine-tuning was run")]
    caption = (
        "Global pruning without fine-tuning, weights stored in FP32, against the dense model as torch.save writes it."
    )
    y = {"title": "times smaller", **logarithmic([point.y for point in points], "~g")}
    table = curve_table(key, title, points, "sparsity")
    return [Figure(key, title, caption, curves(points, SPARSITY, y), table)]
