"""Whole channels and input features removed: matrices that really shrink."""

from collections.abc import Iterator

from torch import nn

from bench.inferences import inferences
from bench.matrix import STRUCTURED
from fixtures.artifacts import CaseRuns, RunCase
from fixtures.cases import SeededCase
from fixtures.findings import FAIL, Finding
from fixtures.gate import Gate
from fixtures.measurement import Measure
from gnn.compression import prunable_parameters

CASES = STRUCTURED
# No channel that fits back is left out, and in every model the smallest channel is a smaller share than this.
TOLERANCE = 0.01


def test_structured(seeded_case: SeededCase, run_case: RunCase, measure: Measure, gate: Gate) -> None:
    """A narrow model has the weights that were asked for, and is as fast and accurate as its thresholds say."""
    runs = run_case(seeded_case)
    gate(runs, measure(runs, inferences(runs)), list(really_shrunk(runs)))


def really_shrunk(runs: CaseRuns) -> Iterator[Finding]:
    """Whether the matrices themselves lost the share that was asked for: a zero in a matrix counts as a weight."""
    case, dense = runs.case, _prunable_weights(runs.base.model)
    asked = 1 - getattr(case.compression, "sparsity", 0.0)
    for run in runs.runs:
        left = _prunable_weights(run.model) / dense
        # Whole weights, so that half of one may be left over.
        if not asked - TOLERANCE <= left <= asked + 0.5 / dense:
            sentence = f"remaining weights are {left:.6g} of the dense model's, {asked:.6g} at most were asked for"
            allowed = f"allowed is {TOLERANCE:.2g} less"
            yield Finding(FAIL, f"{case.id}: {sentence}, {allowed} (seed {run.seed})")
        if run.compressed_tensors == 0 or run.masked_share:
            sentence = f"{run.compressed_tensors} tensors shrank and {len(run.masked_share)} have a mask"
            yield Finding(FAIL, f"{case.id}: {sentence}; some have to shrink, and no mask is left (seed {run.seed})")


def _prunable_weights(model: nn.Module) -> int:
    return sum(getattr(module, name).numel() for _, module, name in prunable_parameters(model))
