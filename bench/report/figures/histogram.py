"""The paper's Figure 1: the weights of every layer before and after pruning."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.report.figures.selection import Machine, Records, needed, of_method, one_model, panels
from gnn.compression.weight_statistics import WeightHistogram

PAPERS_SPARSITY = 0.5


def draw_histograms(records: Records, machine: Machine) -> Figure:  # noqa: ARG001
    """One panel per layer: how many weights of each size there were, and how many are left.

    The case is global pruning to the sparsity nearest to the paper's 0.5, without fine-tuning; its first seed.
    """
    chosen = [r for r in of_method(one_model(records), "global", fine_tuned=False) if r.weight_histograms]
    needed(chosen, "globally pruned case with weight_histograms")
    case = min(chosen, key=lambda record: abs(record.settings["sparsity"] - PAPERS_SPARSITY))
    layers = case.weight_histograms
    columns = min(len(layers), 4)
    figure, grid = panels(-(-len(layers) // columns), columns, share_y=False)
    cells = [axes for row in grid for axes in row]
    for axes, (name, counts) in zip(cells, layers.items(), strict=False):
        _draw_layer(axes, name, counts)
    for axes in cells[len(layers) :]:
        axes.remove()
    figure.suptitle(f"{case.id}: weights before and after pruning, seed {case.seeds[0]}")
    cells[0].legend(fontsize=8)
    return figure


def _draw_layer(axes: Axes, name: str, counts: WeightHistogram) -> None:
    limit, bins = counts.limit, len(counts.before)
    edges = [limit * (2 * index / bins - 1) for index in range(bins + 1)]
    axes.stairs(counts.before, edges, color="gray", label="before")
    axes.stairs(counts.after, edges, color="tab:blue", fill=True, alpha=0.6, label="after, zeros left out")
    weights, zeros = sum(counts.before) + counts.zeros_before, counts.zeros_after
    axes.set_title(f"{name}: {zeros / weights:.0%} of {weights:,} are zero", fontsize=9)
    axes.set_xlabel("weight")
    axes.set_ylabel("weights per bin")
