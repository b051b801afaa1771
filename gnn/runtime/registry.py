"""How a model is turned into the fastest real inference this library knows."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from gnn.registry import Registry
from gnn.tasks import NodeClassification

Inference = Callable[[], Tensor]

RUNTIMES: Registry[Callable[[Any, NodeClassification], Inference]] = Registry("runtime")


def compile_inference(model_name: str, model: object, task: NodeClassification) -> Inference:
    """A function without arguments that computes the logits of the task's whole graph.

    Everything that depends on graph and weights alone is done here, once; what is left is what a server
    would repeat. Raises `UnknownNameError` for a model that has no runtime.
    """
    return RUNTIMES[model_name](model, task)
