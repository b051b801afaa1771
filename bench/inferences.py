"""What is timed: the first seed's model, plain eager, dense on our runtime, and as it came back from its file."""

import torch

from bench.yardsticks import EAGER, REFERENCE
from fixtures.artifacts import CaseRuns
from fixtures.measurement import Inferences
from gnn.models import GraphModel
from gnn.runtime import Inference, compile_inference, model_inference, untouched_layers
from gnn.tasks import Task

# Stands for NaN and infinity, which JSON does not have.
LARGEST_SHARE = 1e30


def inferences(runs: CaseRuns) -> Inferences:
    """The inferences of a case; a model without a plain eager form of its own is compared with its own forward pass."""
    name, task, base, shipped = runs.case.model, runs.task, runs.base.model, runs.runs[0].model
    compressed = compile_inference(shipped, task)
    return Inferences(
        f"{task.name}.{name}",
        compressed=compressed,
        difference=lambda: runtime_difference(compressed, shipped, task),
        eager=EAGER.get(name, model_inference)(base, task),
        reference=REFERENCE[name](base, task) if name in REFERENCE else None,
        dense=compile_inference(base, task),
        compile_pair=lambda: (compile_inference(base, task), compile_inference(shipped, task)),
        untouched=untouched_layers(shipped),
    )


def runtime_difference(inference: Inference, model: GraphModel, task: Task) -> float:
    """Return how far the logits of a runtime are from the model's own, as a share of the largest of them."""
    found, own = inference(), model_inference(model, task)()
    share = (found - own).abs().max() / own.abs().max().clamp(min=torch.finfo(own.dtype).tiny)
    return float(share.nan_to_num(nan=LARGEST_SHARE, posinf=LARGEST_SHARE))
