"""Tables 1 to 4 of the paper: the data, and every target and compared model before anything is compressed."""

from bench.findings import of_every_run, truncated
from bench.matrix import BASELINES
from fixtures.cases import SeededCase
from fixtures.gate import Judge

CASES = BASELINES


def test_baseline(seeded_case: SeededCase, judge: Judge) -> None:
    """A dense model is as accurate as its thresholds and its baseline say, and its training was not cut short."""
    judge(seeded_case, findings=[of_every_run(truncated)])
