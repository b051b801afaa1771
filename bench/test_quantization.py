"""Tables 7 and 8 of the paper: models trained for integers, and run on them."""

from bench.findings import equal_to_simulation, really_quantized
from bench.matrix import QUANTIZATION
from fixtures.cases import SeededCase
from fixtures.gate import Judge

CASES = QUANTIZATION


def test_quantization(seeded_case: SeededCase, judge: Judge) -> None:
    """A model on integers says what its simulation says, and is as small and accurate as its thresholds say."""
    judge(seeded_case, findings=[really_quantized, equal_to_simulation])
