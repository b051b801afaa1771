"""Table 17 of the paper: L2 regularization, and what magnitude pruning of a regularized model then costs."""

from bench.matrix import REGULARIZATION
from bench.test_pruning import achieved_sparsity
from fixtures.artifacts import RunCase
from fixtures.cases import SeededCase
from fixtures.findings import Finding
from fixtures.gate import Gate
from fixtures.measurement import unmeasured
from gnn.case import Case
from gnn.experiment import Run

CASES = REGULARIZATION

REASON = (
    "not timed, to save time: L2 regularization changes the values of the weights and not their number, and the dense "
    "and the globally pruned model are timed; the paper leaves out inference time as well (Section 3.3)"
)


def test_regularization(seeded_case: SeededCase, run_case: RunCase, gate: Gate) -> None:
    """A regularized model is as accurate as its thresholds and its baseline say, and as sparse as asked."""
    runs = run_case(seeded_case)
    gate(runs, unmeasured(REASON), [finding for run in runs.runs for finding in achieved_if_asked(runs.case, run)])


def achieved_if_asked(case: Case, run: Run) -> list[Finding]:
    """Whether pruning after regularization removed what was asked; L2 alone need not make a single exact zero."""
    return list(achieved_sparsity(case, run)) if case.compression.compresses else []
