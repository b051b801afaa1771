"""Table 17 of the paper: what L2 regularization does to accuracy and resources, and what it leaves to prune."""

from collections.abc import Sequence

from bench.report.columns import (
    ENERGY,
    FLAGGED,
    MEMORY,
    PROCESSOR,
    SEEDS,
    STARRED_ACCURACY,
    CaseTable,
    Column,
    Records,
    mean_and_deviation,
)
from bench.report.reported import Reported
from fixtures.record import Record

PRUNED_SHARE = 0.9
NOTES = (
    FLAGGED,
    "near zero: share of the prunable weights below 1e-3 in magnitude; L2 makes no exact zeros, and no smaller file",
    f"pruned: accuracy after global magnitude pruning of the regularized model to {PRUNED_SHARE:g}, not fine-tuned",
    "energy, CPU and memory of these cases were not measured: the model has the shape of the dense one, which was",
)


def regularization_table(reported: Sequence[Reported], by_id: Records) -> str:
    """One row per model and rate that was run; no text when none was."""

    def pruned(record: Record) -> str:
        found = by_id.get(f"{record.id}.s{PRUNED_SHARE:g}")
        return "-" if found is None else mean_and_deviation(found.accuracy)

    columns = (
        STARRED_ACCURACY,
        SEEDS,
        Column("near zero", "", "", lambda record: f"{record.near_zero_share:.1%}"),
        Column(f"pruned to {PRUNED_SHARE:g}", "", "", pruned),
        ENERGY,
        PROCESSOR,
        MEMORY,
    )
    return CaseTable("17", "L2 regularization by rate, reported / measured", columns, NOTES).text(reported, by_id)
