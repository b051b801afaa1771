"""Every figure of the report; one figure, or one kind of figures, a file."""

from bench.report.figures import accuracy, fronts, histograms, resources, seeds, speeds
from bench.report.figures.registry import draw_figures

__all__ = ["accuracy", "draw_figures", "fronts", "histograms", "resources", "seeds", "speeds"]
