"""Accuracy over the bytes that were really written."""

from matplotlib.figure import Figure

from bench.report.figures.selection import (
    COLORS,
    MACHINE,
    METHODS,
    Machine,
    Records,
    dense,
    draw_means,
    of_method,
    one_model,
)
from gnn.errors import GnnError


def draw_size(records: Records, machine: Machine) -> Figure:
    """Mean test accuracy with its standard deviation over encoded size / dense size, one line per method."""
    records = one_model(records)
    control = dense(records)
    if control is None:
        raise GnnError("the results hold no dense case to compare with; run the suite without -k")
    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for method, label in METHODS.items():
        for fine_tuned in (True, False):
            chosen = sorted(of_method(records, method, fine_tuned=fine_tuned), key=lambda record: record.size_ratio)
            draw_means(
                axes,
                [record.size_ratio for record in chosen],
                [record.accuracy for record in chosen],
                label=f"{label}, {'fine-tuned' if fine_tuned else 'not fine-tuned'}",
                color=COLORS[method],
                linestyle="-" if fine_tuned else ":",
                marker="o" if fine_tuned else "s",
            )
    axes.axhline(control.accuracy.mean, color="gray", linewidth=1, label="dense")
    axes.set_xlabel("size of the written file / size of the dense file (log scale)")
    axes.set_ylabel(f"test accuracy, mean ± std of {len(control.seeds)} seeds")
    axes.set_xscale("log")
    axes.set_xticks([0.1, 0.2, 0.3, 0.5, 0.85], ["0.10", "0.20", "0.30", "0.50", "0.85"], minor=False)
    axes.minorticks_off()
    where = MACHINE.format_map(machine)
    axes.set_title(f"{control.model} on {control.task}: what pruning keeps ({where})")
    axes.legend(fontsize=8, loc="lower right")
    return figure
