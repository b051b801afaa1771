"""Tables 1 to 4 of the paper: the data, and every target and compared model before anything is compressed."""

from collections.abc import Iterator

from bench.inferences import inferences
from bench.matrix import BASELINES
from fixtures.artifacts import CaseRuns, RunCase
from fixtures.cases import SeededCase
from fixtures.findings import FAIL, Finding
from fixtures.gate import Gate
from fixtures.measurement import Measure

CASES = BASELINES


def test_baseline(seeded_case: SeededCase, run_case: RunCase, measure: Measure, gate: Gate) -> None:
    """A dense model is as accurate as its thresholds and its baseline say, and its training was not cut short."""
    runs = run_case(seeded_case)
    gate(runs, measure(runs, inferences(runs)), list(truncated(runs)))


def truncated(runs: CaseRuns) -> Iterator[Finding]:
    """Whether a seed's best epoch is among the last that its budget allowed, so that a longer one might be better."""
    for run in runs.runs:
        if run.truncated:
            sentence = f"the best of {run.epochs} epochs is number {run.best_epoch}; raise most_epochs of its recipe"
            yield Finding(FAIL, f"{runs.case.id}: {sentence} (seed {run.seed})")
