"""What is timed: the first seed's model, plain eager, dense on our runtime, and as it came back from its file."""

import copy

from bench.yardsticks import EAGER, REFERENCE
from fixtures.artifacts import CaseRuns
from fixtures.measurement import Inferences
from gnn.runtime import RUNTIMES, Inference, compile_inference, model_inference


def inferences(runs: CaseRuns) -> Inferences:
    """The inferences of a case; a compared model, which has no runtime of ours, is only timed as it is."""
    name, task, base, shipped = runs.case.model, runs.task, runs.base.model, runs.runs[0].model
    dense_model = f"{task.name}.{name}"
    if name not in RUNTIMES:
        return Inferences(dense_model, compressed=model_inference(shipped, task))

    def compile_pair() -> tuple[Inference, Inference]:
        # Some runtimes, such as HGP-SL's, use the weights where the model has them.
        base_copy, shipped_copy = copy.deepcopy((base, shipped))
        return compile_inference(name, base_copy, task), compile_inference(name, shipped_copy, task)

    return Inferences(
        dense_model,
        compressed=compile_inference(name, shipped, task),
        eager=EAGER[name](base, task),
        reference=REFERENCE[name](base, task),
        dense=compile_inference(name, base, task),
        compile_pair=compile_pair,
    )
