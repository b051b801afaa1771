"""The lottery ticket hypothesis, which the paper calls invalid for graph neural networks."""

from bench.findings import masks_as_asked, of_every_run
from bench.matrix import LOTTERY
from fixtures.cases import SeededCase
from fixtures.gate import Judge

CASES = LOTTERY

REASON = "not timed, to save time: a ticket has the shape and the sparsity of the globally pruned model, which is timed"


def test_lottery(seeded_case: SeededCase, judge: Judge) -> None:
    """A ticket or its control is as sparse as every other, as small and accurate as its baseline says."""
    judge(seeded_case, findings=[of_every_run(masks_as_asked)], not_timed=REASON)
