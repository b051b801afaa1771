"""Pruning and quantization together, which the paper leaves to the future."""

from collections.abc import Iterator

from bench.inferences import inferences
from bench.matrix import HYBRID
from bench.test_quantization import equal_to_simulation, really_quantized
from fixtures.artifacts import CaseRuns, RunCase
from fixtures.cases import SeededCase
from fixtures.findings import FAIL, PASS, Finding
from fixtures.gate import Gate
from fixtures.measurement import Measure
from gnn.compression import GlobalMagnitude

CASES = HYBRID


def test_hybrid(seeded_case: SeededCase, run_case: RunCase, measure: Measure, gate: Gate) -> None:
    """A model that was pruned and runs on integers is as sparse as asked, and equal to its simulation."""
    runs = run_case(seeded_case)
    gate(
        runs,
        measure(runs, inferences(runs)),
        [*really_quantized(runs), *equal_to_simulation(runs), *still_sparse(runs)],
    )


def still_sparse(runs: CaseRuns) -> Iterator[Finding]:
    """Whether what was removed stays away: integers may round more weights to zero, but never bring one back."""
    pruning = getattr(runs.case.compression, "pruning", None)
    if not isinstance(pruning, GlobalMagnitude):
        return
    for run in runs.runs:
        weights = sum(run.plain.get_parameter(name).numel() for name in run.layer_sparsity)
        # Rounding to whole weights happens once.
        if run.sparsity >= pruning.sparsity - 0.5 / weights:
            yield Finding(PASS)
        else:
            sentence = f"sparsity is {run.sparsity:.6g}, {pruning.sparsity:g} at least was asked for"
            yield Finding(FAIL, f"{runs.case.id}: {sentence} (seed {run.seed})")
