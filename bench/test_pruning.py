"""Tables 5 and 9 to 16 of the paper: magnitude pruning, with and without fine-tuning; and what the paper asks for."""

from bench.findings import achieved_sparsity, of_every_run, within_budget
from bench.matrix import GRADUAL, LAYER_WISE, PRUNING
from fixtures.cases import SeededCase
from fixtures.gate import Judge

CASES = PRUNING + GRADUAL + LAYER_WISE


def test_pruning(seeded_case: SeededCase, judge: Judge) -> None:
    """A pruned model is as sparse as asked, as small and accurate as its thresholds and its baseline say."""
    judge(seeded_case, findings=[of_every_run(achieved_sparsity), within_budget])
