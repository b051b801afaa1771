"""Whole channels and input features removed: matrices that really shrink."""

from bench.findings import really_shrunk
from bench.matrix import STRUCTURED
from fixtures.cases import SeededCase
from fixtures.gate import Judge

CASES = STRUCTURED


def test_structured(seeded_case: SeededCase, judge: Judge) -> None:
    """A narrow model has the weights that were asked for, and is as fast and accurate as its thresholds say."""
    judge(seeded_case, findings=[really_shrunk])
