"""The paper's Figures 1 and 2: the weights of every layer, and how sparse global pruning makes it."""

import altair

from bench.report.figure import Figure, Missing
from bench.report.figures.registry import by_model, draws, finite
from bench.report.figures.style import RAMP, colour, inline, panels, tooltip
from bench.report.table import Table
from fixtures.record import Record, Results
from gnn.compression.weight_statistics import WeightHistogram

PAPERS_MODEL, PAPERS_SPARSITY = "spline", 0.5
BEFORE, AFTER = "before", "after, zeros left out"


def _globally_pruned(results: Results) -> list[Record]:
    chosen = [r for r in finite(results) if r.method == "global" and not r.fine_tuned and r.precision == "fp32"]
    return sorted(chosen, key=lambda record: (record.case_model, record.settings["sparsity"]))


@draws
def draw_histograms(results: Results) -> list[Figure | Missing]:
    """Figure 1: one panel per layer of the paper's model, where it was run."""
    title = "Weights before and after pruning"
    chosen = [record for record in _globally_pruned(results) if record.weight_histograms]
    if not chosen:
        return [Missing("figure-1", title, "no case of global pruning without fine-tuning was run")]
    case = min(chosen, key=lambda r: (r.model != PAPERS_MODEL, abs(r.settings["sparsity"] - PAPERS_SPARSITY)))
    rows = [[layer, *bin_] for layer, counts in case.weight_histograms.items() for bin_ in _bins(counts)]
    caption = (
        f"{case.id}, seed {case.seeds[0]}. The axis ends at the largest weight of the layer; exact zeros are in the "
        "titles."
    )
    table = Table("figure-1", title, ["layer", "weight from", BEFORE, AFTER], rows, styles={"weight from": ".4g"})
    charts = [_histogram(layer, counts) for layer, counts in case.weight_histograms.items()]
    return [Figure("figure-1", title, caption, panels(charts, [BEFORE, AFTER]), table)]


def _bins(counts: WeightHistogram) -> list[tuple[float, int, int]]:
    width = 2 * counts.limit / len(counts.before)
    both = zip(counts.before, counts.after, strict=True)
    return [(-counts.limit + width * index, before, after) for index, (before, after) in enumerate(both)]


def _histogram(layer: str, counts: WeightHistogram) -> altair.LayerChart:
    bins = _bins(counts)
    # A step reaches to the next bin, and the last one needs an end.
    ends = [*bins, (counts.limit, *bins[-1][1:])]
    names = altair.Scale(domain=[BEFORE, AFTER], range=[colour("dense"), colour("global")])

    def stage(name: str, place: int) -> altair.Chart:
        rows = [{"weight": bin_[0], "weights": bin_[place], "stage": name} for bin_ in ends]
        return altair.Chart(inline(rows)).encode(
            x=altair.X("weight:Q", title="weight", axis=altair.Axis(tickCount=5)),
            y=altair.Y("weights:Q", title="weights per bin", axis=altair.Axis(tickCount=4, format="~s")),
            color=altair.Color("stage:N", scale=names),
        )

    weights = sum(counts.before) + counts.zeros_before
    title = [layer, f"{counts.zeros_after / weights:.0%} of {weights:,} are zero"]
    return altair.LayerChart(
        layer=[
            stage(AFTER, 2).mark_area(interpolate="step-after", opacity=0.6),
            stage(BEFORE, 1).mark_line(interpolate="step-after", strokeWidth=1.5),
        ],
        title=title,
        height=120,
    )


@draws
def draw_layers(results: Results) -> list[Figure | Missing]:
    """Figure 2: one panel per model, one line per layer, as in the paper."""
    title = "Sparsity of every layer under global pruning"
    chosen = _globally_pruned(results)
    if not chosen:
        return [Missing("figure-2", title, "no case of global pruning without fine-tuning was run")]
    rows = [
        [record.case_model, layer, record.settings["sparsity"], sparsity]
        for record in chosen
        for layer, sparsity in record.layer_sparsity.items()
    ]
    headers = ["model", "layer", "sparsity of the model", "sparsity of the layer"]
    styles = {"sparsity of the model": "g", "sparsity of the layer": ".3f"}
    table = Table("figure-2", title, headers, rows, styles=styles)
    caption = "Each dot is one pruned model, its colour the sparsity asked of the whole; means over the seeds."
    charts = [_layers(name, records) for name, records in by_model(chosen)]
    return [Figure("figure-2", title, caption, panels(charts, margin=150, width=200), table)]


def _layers(name: str, records: list[Record]) -> altair.LayerChart:
    layers = list(records[0].layer_sparsity)
    rows = [
        {"layer": layer, "case": record.id, "asked": record.settings["sparsity"], "zeros": sparsity}
        for record in records
        for layer, sparsity in record.layer_sparsity.items()
    ]
    base = altair.Chart(inline(rows)).encode(
        x=altair.X("zeros:Q", title="sparsity of the layer", scale=altair.Scale(domain=[0, 1])),
        y=altair.Y("layer:N", sort=layers, title=None, axis=altair.Axis(minExtent=130, labelLimit=130)),
    )
    ramp = altair.Scale(domain=[0, 1], range=[*RAMP])
    legend = altair.Legend(title="sparsity asked of the model", type="symbol", values=[0.1, 0.3, 0.5, 0.7, 0.9])
    return altair.LayerChart(
        layer=[
            base.mark_line(color="currentColor", opacity=0.3).encode(detail=altair.Detail("layer:N")),
            base.mark_point(filled=True, size=50, opacity=1).encode(
                color=altair.Color("asked:Q", scale=ramp, legend=legend),
                tooltip=tooltip("case:N", "layer:N", "asked:Q", "zeros:Q"),
            ),
        ],
        title=name,
        height=24 * len(layers),
    )
