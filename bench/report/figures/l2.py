"""The paper's Figure 7: accuracy over the rate of L2 regularization, with what the paper reports."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.report.figures.selection import Machine, Records, draw_means, names, needed, panels
from bench.report.reported import reported_accuracies


def draw_l2(records: Records, machine: Machine) -> Figure:  # noqa: ARG001
    """One panel per model, the rates side by side; the paper's values are crosses."""
    regularized = [r for r in records if r.method == "l2" and not r.settings["sparsity"]]
    found = names(needed(regularized, "regularized case"))
    figure, grid = panels(-(-len(found) // 2), min(len(found), 2), share_y=False)
    cells = [axes for row in grid for axes in row]
    for axes, name in zip(cells, found, strict=False):
        _draw_model(axes, name, [record for record in regularized if record.case_model == name])
    for axes in cells[len(found) :]:
        axes.remove()
    cells[0].legend(fontsize=8)
    figure.suptitle("L2 regularization: accuracy over the rate")
    return figure


def _draw_model(axes: Axes, name: str, records: Records) -> None:
    reported = reported_accuracies("17", name, "l2", "rate")
    measured = {record.settings["rate"]: record.accuracy for record in records}
    # Rates from 0 to 1e6 fit on no common scale.
    place = {rate: index for index, rate in enumerate(sorted(reported.keys() | measured.keys()))}
    ordered = sorted(measured)
    draw_means(axes, [place[rate] for rate in ordered], [measured[rate] for rate in ordered], marker="o", label="here")
    axes.plot([place[rate] for rate in reported], list(reported.values()), "x", color="tab:red", label="paper")
    axes.set_xticks(list(place.values()), [f"{rate:g}" for rate in place], rotation=90, fontsize=7)
    axes.set_title(name)
    axes.set_xlabel("rate")
    axes.set_ylabel("test accuracy (ROC-AUC for links)")
