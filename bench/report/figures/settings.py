"""The axes that figures of the paper share, and the cases that lie on them."""

from collections.abc import Sequence
from typing import Any

import altair

from bench.report.figures.registry import is_dense
from fixtures.record import Record

METHODS = {"global": "global pruning", "fine-grained": "fine-grained pruning"}
TUNED = {False: "not fine-tuned", True: "fine-tuned"}
# Where the paper prints accuracies; what they take is four tables on.
TABLES = {("global", False): "9", ("global", True): "10", ("fine-grained", False): "11", ("fine-grained", True): "12"}
SPARSITY: dict[str, Any] = {
    "type": "quantitative",
    "title": "sparsity",
    "scale": altair.Scale(nice=False, padding=8),
    "axis": altair.Axis(format=".1f", tickCount=5),
}
SHORT = "datum.value && (datum.value < 0.1 || datum.value > 9) ? format(datum.value, '~e') : datum.value"
# Between 0 and 1e6 no scale has room for the paper's ten rates from 0.1 to 1, where its curves have their peaks.
RATE: dict[str, Any] = {
    "type": "ordinal",
    "title": "rate of L2 regularization, side by side",
    "axis": altair.Axis(labelExpr=SHORT, labelAngle=-90, grid=True),
}
ACCURACY: dict[str, Any] = {
    "title": "test accuracy",
    "scale": altair.Scale(zero=False, padding=6),
    "axis": altair.Axis(format=".3~f", tickCount=5),
}


def of_method(records: Sequence[Record], method: str, *, tuned: bool) -> list[Record]:
    """The cases of a pruning method that are stored without a loss, by sparsity, after the dense model; or none."""
    pruned = [r for r in records if r.method == method and r.fine_tuned is tuned and r.precision == "fp32"]
    dense = [record for record in records if is_dense(record, fine_tuned=tuned)]
    return [*dense, *sorted(pruned, key=lambda record: record.settings["sparsity"])] if pruned else []


def plain_l2(records: Sequence[Record]) -> list[Record]:
    """The regularized cases that are not pruned, by rate."""
    found = [record for record in records if record.method == "l2" and not record.settings["sparsity"]]
    return sorted(found, key=lambda record: record.settings["rate"])
