"""Tables 5 and 9 to 16 of the paper: magnitude pruning, with and without fine-tuning."""

from bench.findings import achieved_sparsity, of_every_run
from bench.matrix import GRADUAL, PRUNING
from fixtures.cases import SeededCase
from fixtures.gate import Judge

CASES = PRUNING + GRADUAL


def test_pruning(seeded_case: SeededCase, judge: Judge) -> None:
    """A pruned model is as sparse as asked, as small and accurate as its thresholds and its baseline say."""
    judge(seeded_case, findings=[of_every_run(achieved_sparsity)])
