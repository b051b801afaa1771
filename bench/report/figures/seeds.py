"""Beyond the paper: how accuracy settles with the number of seeds, and how many bits A2Q gives nodes of a degree."""

from statistics import fmean, stdev

import altair

from bench.report.figure import Figure, Missing
from bench.report.figures.curves import Point, curve_table, curves, interval
from bench.report.figures.registry import by_model, compared_models, draws, finite, is_dense
from bench.report.figures.settings import ACCURACY
from bench.report.figures.style import colour, inline, panels, tooltip
from bench.report.table import Table
from fixtures.record import Record, Results

# The interval of two seeds is so wide that nothing else could be seen.
LEAST_SEEDS = 3


@draws
def draw_seeds(results: Results) -> list[Figure | Missing]:
    """The mean accuracy of the dense models over their first seeds: two, three, and so on."""
    key, title = "seeds", "Accuracy of the dense model against the number of seeds"
    records = finite(results)
    models = compared_models(records) or list(by_model(records))
    dense = [(name, record) for name, cases in models for record in cases if is_dense(record)]
    points = [point for name, record in dense if len(record.seeds) > 1 for point in _settling(name, record)]
    if not points:
        return [Missing(key, title, "no dense model was trained with two seeds")]
    caption = (
        f"The mean of the first seeds with its 95% interval (Student's t, from {LEAST_SEEDS} seeds on); a dot is the "
        "accuracy of the seed that was added. Differences smaller than the last interval are noise, unless they are "
        "paired by seed."
    )
    x = {"type": "quantitative", "title": "seeds", "scale": altair.Scale(zero=False, nice=False, padding=8)}
    x["axis"] = altair.Axis(tickMinStep=1, format="d")
    return [Figure(key, title, caption, curves(points, x, ACCURACY), curve_table(key, title, points, "number"))]


def _settling(name: str, record: Record) -> list[Point]:
    values, points = record.accuracy.values, []
    for count in range(1, len(values) + 1):
        first = values[:count]
        ci95 = interval(first) if count >= LEAST_SEEDS else None
        std = stdev(first) if count > 1 else None
        points.append(Point(name, record.id, "dense", "", "accuracy", count, fmean(first), std, ci95, first[-1:]))
    return points


@draws
def draw_degrees(results: Results) -> list[Figure | Missing]:
    """Bits of a node by its in-degree where nodes have bits of their own, one panel per case."""
    key, title = "degree-bit-width", "Bits of a node against its in-degree"
    rows = {
        record.id: [
            {"in-degree": int(degree), "bits": int(bits), "nodes": nodes, "share": nodes / sum(counts.values())}
            for degree, counts in histogram.items()
            for bits, nodes in counts.items()
        ]
        for record in finite(results)
        if (histogram := record.bit_width.histogram)
    }
    if not rows:
        return [Missing(key, title, "no case gave nodes bits of their own (A2Q does)")]
    caption = (
        "A circle's area is the share of the nodes of this in-degree that have so many bits; the line is their mean."
    )
    headers = ["case", "in-degree", "bits", "nodes", "share"]
    cells = [[case, *(row[header] for header in headers[1:])] for case, found in rows.items() for row in found]
    table = Table(key, title, headers, sorted(cells), styles={"nodes": ",d", "share": ".3f"})
    charts = [_degrees(case, found) for case, found in rows.items()]
    return [Figure(key, title, caption, panels(charts, ["0.25"], width=280), table)]


def _degrees(case: str, rows: list[dict[str, float]]) -> altair.LayerChart:
    degrees = sorted({row["in-degree"] for row in rows})
    of_degree = {degree: [row for row in rows if row["in-degree"] == degree] for degree in degrees}
    means = [
        {"degree": degree, "mean": sum(r["bits"] * r["share"] for r in found)} for degree, found in of_degree.items()
    ]
    x = altair.X("degree:O", title="in-degree", axis=altair.Axis(labelAngle=0, labelOverlap=True))
    scale = altair.Scale(zero=False, padding=14)
    size = altair.Size(
        "share:Q", scale=altair.Scale(domain=[0, 1], range=[0, 500]), legend=altair.Legend(title="share")
    )
    circles = altair.Chart(inline([{"degree": row["in-degree"], **row} for row in rows])).mark_circle(
        opacity=0.6, color=colour("a2q")
    )
    axis = altair.Axis(tickMinStep=1, format="d")
    return altair.LayerChart(
        layer=[
            circles.encode(
                x=x,
                y=altair.Y("bits:Q", title="bits", scale=scale, axis=axis),
                size=size,
                tooltip=tooltip("degree:O", "bits:Q", "nodes:Q", "share:Q"),
            ),
            altair.Chart(inline(means))
            .mark_line(color=colour("a2q"), strokeWidth=1.5)
            .encode(x=x, y=altair.Y("mean:Q", title="bits", scale=scale)),
        ],
        title=case,
        height=180,
    )
