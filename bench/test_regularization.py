"""Table 17 of the paper: L2 regularization, and what magnitude pruning of a regularized model then costs."""

from bench.findings import achieved_if_asked, of_every_run
from bench.matrix import REGULARIZATION
from fixtures.cases import SeededCase
from fixtures.gate import Judge

CASES = REGULARIZATION

REASON = (
    "not timed, to save time: L2 regularization changes the values of the weights and not their number, and the dense "
    "and the globally pruned model are timed; the paper leaves out inference time as well (Section 3.3)"
)


def test_regularization(seeded_case: SeededCase, judge: Judge) -> None:
    """A regularized model is as accurate as its thresholds and its baseline say, and as sparse as asked."""
    judge(seeded_case, findings=[of_every_run(achieved_if_asked)], not_timed=REASON)
