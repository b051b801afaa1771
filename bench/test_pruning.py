"""Tables 5 and 9 to 16 of the paper: magnitude pruning, with and without fine-tuning."""

from bench.matrix import PRUNING
from bench.yardsticks import EAGER
from fixtures.artifacts import CaseRuns, RunCase
from fixtures.cases import SeededCase
from fixtures.gate import Gate
from fixtures.measurement import Inferences, Measure
from fixtures.records import build_record
from gnn.compression import FineGrained
from gnn.experiment import Run
from gnn.runtime import compile_inference

CASES = PRUNING


def test_pruning(seeded_case: SeededCase, run_case: RunCase, measure: Measure, gate: Gate) -> None:
    """A pruned model is as sparse as asked, as small and accurate as its thresholds and its baseline say."""
    runs = run_case(seeded_case)
    for run in runs.runs:
        assert_sparsity(runs, run)
    gate(build_record(runs, measure(inferences(runs))), runs)


def inferences(runs: CaseRuns) -> Inferences:
    """The first seed's model: eager, dense on our runtime, and compressed on our runtime."""
    name, task, base = runs.case.model, runs.task, runs.base.model
    return Inferences(
        eager=EAGER[name](base, task),
        dense=compile_inference(name, base, task),
        compressed=compile_inference(name, runs.runs[0].model, task),
    )


def assert_sparsity(runs: CaseRuns, run: Run) -> None:
    """What was asked for was removed, to the weight: in total, and per layer where the method promises it."""
    asked = runs.case.settings.get("sparsity", 0.0)
    assert isinstance(asked, float)
    shapes = {name: run.model.get_parameter(name).numel() for name in run.layer_sparsity}
    tolerance = len(shapes) / sum(shapes.values())
    assert abs(run.sparsity - asked) <= tolerance, (
        f"{runs.case.id} seed {run.seed}: sparsity {run.sparsity}, asked {asked}"
    )
    if isinstance(runs.case.compression, FineGrained):
        for name, weights in shapes.items():
            layer = run.layer_sparsity[name]
            assert abs(layer - asked) <= 1 / weights, (
                f"{runs.case.id} seed {run.seed}: {name} has sparsity {layer}, asked {asked}"
            )
        assert run.compressed_tensors == len(shapes)
