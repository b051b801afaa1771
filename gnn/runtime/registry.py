"""How a model is turned into the fastest real inference this library knows."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gnn.models import GraphModel, fp32_model, unwrapped_model
from gnn.registry import Registry
from gnn.tasks import Task

Inference = Callable[[], Tensor]

RUNTIMES: Registry[Callable[[Any, Any], Inference]] = Registry("runtime")


def compile_inference(model_name: str, model: GraphModel, task: Task) -> Inference:
    """A function without arguments that computes what the task asks of its test part.

    Node classifiers give the logits of the whole graph, link predictors those of the test pairs, graph classifiers
    those of the test graphs as one batch. Everything that depends on structure and weights alone is done here, once;
    what is left is what a server would repeat. A model on integers runs as it is. Raises `UnknownNameError` for a model
    without a runtime of its own, and `SettingError` for one that `fp32_model` refuses.
    """
    model = fp32_model(model)
    if model.quantization is not None:
        return model_inference(model, task)
    return RUNTIMES[model_name](model, task)


def model_inference(model: GraphModel, task: Task) -> Inference:
    """The model's own forward pass on the test part as it stands, for models without a runtime of their own."""
    model = unwrapped_model(model)
    model.eval()
    inputs = model.prepare(task)
    return torch.inference_mode()(lambda: model.outputs(task, inputs, "test"))
