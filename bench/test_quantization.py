"""Tables 7 and 8 of the paper: models trained for integers, and run on them."""

from collections.abc import Iterator
from statistics import fmean

from bench.inferences import inferences
from bench.matrix import QUANTIZATION
from fixtures.artifacts import CaseRuns, RunCase
from fixtures.cases import SeededCase
from fixtures.findings import FAIL, PASS, Finding
from fixtures.gate import Gate
from fixtures.measurement import Measure
from gnn.compression import prunable_parameters
from gnn.models import MODELS
from gnn.quantization.integer_model import integer_weights

CASES = QUANTIZATION
# A number half-way between two steps goes either way by the rounding of the simulation's FP32 sums, and with it now and
# then the class of a test graph. One of 112 is more than half a percent, so all seeds' graphs are taken together.
LEAST_AGREEMENT = 0.995


def test_quantization(seeded_case: SeededCase, run_case: RunCase, measure: Measure, gate: Gate) -> None:
    """A model on integers says what its simulation says, and is as small and accurate as its thresholds say."""
    runs = run_case(seeded_case)
    gate(runs, measure(runs, inferences(runs)), [*really_quantized(runs), *equal_to_simulation(runs)])


def really_quantized(runs: CaseRuns) -> Iterator[Finding]:
    """Whether every weight is a code but those of the layers that stay in FP32: none slipped through."""
    case = runs.case
    kept = MODELS[case.model].fp32_layers if case.compression.method != "post-training" else ()
    for run in runs.runs:
        expected = {
            name for name, _, _ in prunable_parameters(run.plain) if not name.startswith(tuple(f"{k}." for k in kept))
        }
        found = set(integer_weights(run.model))
        if found != expected or run.compressed_tensors < len(expected):
            sentence = f"{len(found)} weights are codes, expected were {len(expected)}"
            missing = ", ".join(sorted(expected ^ found)) or f"only {run.compressed_tensors} were counted"
            yield Finding(FAIL, f"{case.id}: {sentence} ({missing}; seed {run.seed})")
        else:
            yield Finding(PASS)


def equal_to_simulation(runs: CaseRuns) -> Iterator[Finding]:
    """Whether the model on integers gives the classes that the fake-quantized one gives, over all seeds' test parts."""
    found = [run.agreement for run in runs.runs if run.agreement is not None]
    if len(found) < len(runs.runs):
        yield Finding(FAIL, f"{runs.case.id}: nothing says that integers equal the simulation")
        return
    classes = fmean(agreement.classes for agreement in found)
    if classes < LEAST_AGREEMENT:
        sentence = f"{classes:.4f} of the classes on integers are those of the simulation"
        yield Finding(FAIL, f"{runs.case.id}: {sentence}, allowed is {LEAST_AGREEMENT} (mean of {len(found)} seeds)")
    else:
        yield Finding(PASS)
