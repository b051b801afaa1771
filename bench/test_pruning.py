"""Tables 5 and 9 to 16 of the paper: magnitude pruning, with and without fine-tuning."""

from collections.abc import Iterator

from bench.inferences import inferences
from bench.matrix import GRADUAL, PRUNING
from fixtures.artifacts import RunCase
from fixtures.cases import SeededCase
from fixtures.findings import FAIL, PASS, Finding
from fixtures.gate import Gate
from fixtures.measurement import Measure
from gnn.case import Case
from gnn.compression import FineGrained
from gnn.experiment import Run

CASES = PRUNING + GRADUAL


def test_pruning(seeded_case: SeededCase, run_case: RunCase, measure: Measure, gate: Gate) -> None:
    """A pruned model is as sparse as asked, as small and accurate as its thresholds and its baseline say."""
    runs = run_case(seeded_case)
    gate(
        runs,
        measure(runs, inferences(runs)),
        [finding for run in runs.runs for finding in achieved_sparsity(runs.case, run)],
    )


def achieved_sparsity(case: Case, run: Run) -> Iterator[Finding]:
    """Whether what was asked for was removed, to the weight, and stayed away: in total, and tensor by tensor."""
    asked = getattr(case.compression, "sparsity", 0.0)
    weights = {name: run.model.get_parameter(name).numel() for name in run.layer_sparsity}
    # Rounding to whole weights happens once per tensor in fine-grained pruning.
    yield _sparsity(case, run, "sparsity", run.sparsity, asked, len(weights) / sum(weights.values()))
    fine_grained = isinstance(case.compression, FineGrained)
    for name, count in weights.items():
        share = asked if fine_grained else run.masked_share.get(name, 0.0)
        yield _sparsity(case, run, f"layer_sparsity.{name}", run.layer_sparsity[name], share, 1 / count)
    expected = len(weights) if fine_grained else int(not case.dense)
    if run.compressed_tensors < expected:
        sentence = f"compressed_tensors is {run.compressed_tensors}, at least {expected} were expected"
        yield Finding(FAIL, f"{case.id}: {sentence} (seed {run.seed})")


def _sparsity(case: Case, run: Run, metric: str, value: float, asked: float, tolerance: float) -> Finding:
    if abs(value - asked) <= tolerance:
        return Finding(PASS)
    sentence = f"{metric} is {value:.6g}, asked was {asked:.6g}, allowed is a difference of {tolerance:.2g}"
    return Finding(FAIL, f"{case.id}: {sentence} (seed {run.seed})")
