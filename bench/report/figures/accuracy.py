"""The paper's Figure 3: accuracy over sparsity, with what the paper reports."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.report.figures.selection import (
    METHODS,
    Machine,
    Records,
    dense,
    draw_means,
    names,
    needed,
    of_method,
    panels,
)
from bench.report.reported import reported_accuracies

TABLES = {("global", False): "9", ("global", True): "10", ("fine-grained", False): "11", ("fine-grained", True): "12"}
COLORS = {False: "tab:red", True: "tab:green"}
TUNED = {False: "not fine-tuned", True: "fine-tuned"}


def draw_accuracy(records: Records, machine: Machine) -> Figure:  # noqa: ARG001
    """One row of panels per method, one column per model; the paper's values are crosses.

    Horizontal lines are the dense model and the same model trained on for as long as a pruned one is fine-tuned.
    """
    chosen = [r for method in METHODS for tuned in TUNED for r in of_method(records, method, fine_tuned=tuned)]
    found = names(needed(chosen, "pruned case"))
    figure, grid = panels(len(METHODS), len(found), share_y=False)
    for row, (method, title) in zip(grid, METHODS.items(), strict=True):
        for axes, name in zip(row, found, strict=True):
            of_model = [record for record in records if record.case_model == name]
            _draw_controls(axes, of_model)
            for tuned in TUNED:
                _draw_line(axes, of_method(of_model, method, fine_tuned=tuned), tuned=tuned)
                _draw_reported(axes, name, method, tuned=tuned)
            axes.set_title(f"{name}, {title}", fontsize=9)
            axes.set_xlabel("sparsity")
        row[0].set_ylabel("test accuracy (ROC-AUC for links)")
    grid[0][0].legend(fontsize=7)
    return figure


def _draw_controls(axes: Axes, records: Records) -> None:
    for tuned, style in ((False, "-"), (True, "--")):
        control = dense(records, fine_tuned=tuned)
        if control is not None:
            label = "dense, trained on" if tuned else "dense"
            axes.axhline(control.accuracy.mean, color="gray", linewidth=1, linestyle=style, label=label)


def _draw_line(axes: Axes, records: Records, *, tuned: bool) -> None:
    ordered = sorted(records, key=lambda record: record.settings["sparsity"])
    draw_means(
        axes,
        [record.settings["sparsity"] for record in ordered],
        [record.accuracy for record in ordered],
        color=COLORS[tuned],
        marker="o",
        label=TUNED[tuned],
    )


def _draw_reported(axes: Axes, name: str, method: str, *, tuned: bool) -> None:
    points = reported_accuracies(TABLES[method, tuned], name, method, "sparsity")
    axes.plot(list(points), list(points.values()), "x", color=COLORS[tuned], label=f"paper, {TUNED[tuned]}")
