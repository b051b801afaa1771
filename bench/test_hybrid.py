"""Pruning and quantization together, which the paper leaves to the future."""

from bench.findings import equal_to_simulation, really_quantized, still_sparse
from bench.matrix import HYBRID
from fixtures.cases import SeededCase
from fixtures.gate import Judge

CASES = HYBRID


def test_hybrid(seeded_case: SeededCase, judge: Judge) -> None:
    """A model that was pruned and runs on integers is as sparse as asked, and equal to its simulation."""
    judge(seeded_case, findings=[really_quantized, equal_to_simulation, still_sparse])
