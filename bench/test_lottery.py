"""The lottery ticket hypothesis, which the paper calls invalid for graph neural networks."""

from collections.abc import Iterator

from bench.matrix import LOTTERY
from bench.test_pruning import achieved_sparsity
from fixtures.artifacts import RunCase
from fixtures.cases import SeededCase
from fixtures.findings import FAIL, PASS, Finding
from fixtures.gate import Gate
from fixtures.measurement import unmeasured
from gnn.case import Case
from gnn.experiment import Run

CASES = LOTTERY

REASON = "not timed, to save time: a ticket has the shape and the sparsity of the globally pruned model, which is timed"


def test_lottery(seeded_case: SeededCase, run_case: RunCase, gate: Gate) -> None:
    """A ticket or its control is as sparse as every other, as small and accurate as its baseline says."""
    runs = run_case(seeded_case)
    gate(runs, unmeasured(REASON), [finding for run in runs.runs for finding in sparsity_findings(runs.case, run)])


def sparsity_findings(case: Case, run: Run) -> Iterator[Finding]:
    """Whether the file is as sparse as asked, and the masks to the weight, so that all starts can be compared."""
    yield from achieved_sparsity(case, run)
    weights = {name: run.model.get_parameter(name).numel() for name in run.layer_sparsity}
    removed = sum(round(run.masked_share.get(name, 0.0) * count) for name, count in weights.items())
    asked = round(getattr(case.compression, "sparsity", 0.0) * sum(weights.values()))
    if removed == asked:
        yield Finding(PASS)
    else:
        sentence = f"the masks remove {removed} weights, every start at this sparsity removes {asked}"
        yield Finding(FAIL, f"{case.id}: {sentence} (seed {run.seed})")
