"""The paper's Figures 3 and 7: accuracy over sparsity and over the rate of L2 regularization."""

from collections.abc import Sequence

from bench.report.figure import Figure, Missing
from bench.report.figures.curves import Point, accuracy_point, curve_table, curves, paper_points
from bench.report.figures.registry import by_model, draws, finite
from bench.report.figures.settings import ACCURACY, METHODS, RATE, SPARSITY, TABLES, TUNED, of_method
from fixtures.record import Record, Results

DOTS = (
    "Dots are seeds, marks their means with 95% intervals (Student's t); grey is what the paper reports. Of links it "
    "is the ROC-AUC."
)


@draws
def draw_accuracy(results: Results) -> list[Figure | Missing]:
    """Figure 3: one panel per model and method, fine-tuned or not."""
    key, title = "figure-3", "Accuracy against sparsity"
    points = []
    for name, records in by_model(finite(results)):
        for method, words in METHODS.items():
            panel = f"{name}, {words}"
            found = [point for tuned in TUNED for point in _pruned(records, method, panel, tuned=tuned)]
            if found:
                for tuned, words_of in TUNED.items():
                    table = TABLES[method, tuned]
                    points += paper_points(table, "accuracy", "sparsity", name, panel, words_of, dashed=not tuned)
                points += found
    if not points:
        return [Missing(key, title, "no case of global or of fine-grained pruning was run")]
    caption = f"Sparsity 0 is the dense model; beside fine-tuned models it is trained on for as long. {DOTS}"
    return [
        Figure(key, title, caption, curves(points, SPARSITY, ACCURACY), curve_table(key, title, points, "sparsity"))
    ]


def _pruned(records: Sequence[Record], method: str, panel: str, *, tuned: bool) -> list[Point]:
    return [
        accuracy_point(
            record, panel, TUNED[tuned], record.settings.get("sparsity", 0.0), method=method, dashed=not tuned
        )
        for record in of_method(records, method, tuned=tuned)
    ]


@draws
def draw_regularization(results: Results) -> list[Figure | Missing]:
    """Figure 7: one panel per model; what is pruned after its regularized training is a curve of its own."""
    key, title = "figure-7", "Accuracy against the rate of L2 regularization"
    points = []
    for name, records in by_model(finite(results)):
        found = [record for record in records if record.method == "l2"]
        if found:
            points += paper_points("17", "accuracy", "rate", name, name, "regularized")
            for record in sorted(found, key=lambda record: record.settings["rate"]):
                pruned = record.settings["sparsity"]
                curve = f"then pruned to {pruned:g}, not fine-tuned" if pruned else "regularized"
                points.append(accuracy_point(record, name, curve, record.settings["rate"], dashed=bool(pruned)))
    if not points:
        return [Missing(key, title, "no case of L2 regularization was run")]
    caption = f"Rates stand side by side, not to scale. {DOTS}"
    return [Figure(key, title, caption, curves(points, RATE, ACCURACY), curve_table(key, title, points, "rate"))]
