"""What is timed: the first seed's model, plain eager, dense on our runtime, and as it came back from its file."""

import copy
from typing import Any

import torch

from bench.yardsticks import EAGER, REFERENCE
from fixtures.artifacts import CaseRuns
from fixtures.measurement import Inferences
from gnn.models import GraphModel
from gnn.runtime import RUNTIMES, Inference, compile_inference, model_inference

# Stands for NaN and infinity, which JSON does not have.
LARGEST_SHARE = 1e30


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

    compressed = compile_inference(name, shipped, task)
    return Inferences(
        dense_model,
        compressed=compressed,
        difference=lambda: runtime_difference(compressed, shipped, task),
        eager=EAGER[name](base, task),
        reference=REFERENCE[name](base, task),
        dense=compile_inference(name, base, task),
        compile_pair=compile_pair,
    )


def runtime_difference(inference: Inference, model: GraphModel, task: Any) -> float:  # noqa: ANN401  (nodes have a split)
    """Return how far the logits of a runtime are from the model's own, as a share of the largest of them."""
    found, own = inference(), model_inference(model, task)()
    # The runtime of a classifier of nodes gives the logits of all, the model those of the test part.
    found = found if len(found) == len(own) else found[task.split.test]
    share = (found - own).abs().max() / own.abs().max().clamp(min=torch.finfo(own.dtype).tiny)
    return float(share.nan_to_num(nan=LARGEST_SHARE, posinf=LARGEST_SHARE))
