"""Records as pictures; one figure a file."""

from collections.abc import Callable

from matplotlib.figure import Figure

from bench.report.figures.accuracy import draw_accuracy
from bench.report.figures.histogram import draw_histograms
from bench.report.figures.l2 import draw_l2
from bench.report.figures.layers import draw_layers
from bench.report.figures.selection import Machine, Records
from bench.report.figures.size import draw_size

Draw = Callable[[Records, Machine], Figure]

FIGURES: dict[str, Draw] = {
    "size": draw_size,
    "histogram": draw_histograms,
    "layers": draw_layers,
    "accuracy": draw_accuracy,
    "l2": draw_l2,
}

__all__ = ["FIGURES", "Draw"]
