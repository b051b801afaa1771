"""The five models that are compressed, small and with weights that all matter, and a task for each."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from gnn.compression.channel_trace import Traced, trace_channels
from gnn.determinism import deterministic
from gnn.models import GraphModel, build_model, build_model_for
from gnn.tasks import Task
from gnn.training import outputs_of
from tests.gnn.citation_checks import link_task
from tests.gnn.conftest import build_small_task
from tests.gnn.random_graphs import random_task

FIVE_MODELS = ("gin", "gnnnet", "hgpsl", "ness", "spline")


def small_tasks() -> dict[str, Task]:
    """A task for each model; those of one kind share it."""
    graphs = random_task()
    return {"gin": graphs, "gnnnet": graphs, "hgpsl": graphs, "ness": link_task(), "spline": build_small_task()}


def random_model(name: str, task: Task, seed: int = 0) -> GraphModel:
    """A model of a few channels whose parameters and running statistics are all random, in evaluation mode.

    HGP-SL pools nothing away: rounding decides which of two nodes with equal scores stays, and nothing can be compared.
    """
    if name in ("gin", "gnnnet", "hgpsl"):
        sizes = {"in_channels": task.feature_count, "out_channels": task.output_count, "hidden_channels": 10}
        change = {"pooling_ratio": 1.0} if name == "hgpsl" else {}
        model = build_model(name, {**sizes, **change, "feature_scaling": "asinh"})
    else:
        with deterministic(seed):
            model = build_model_for(name, task)
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5, generator=generator)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.uniform_(0.0, 2.0, generator=generator)
            module.running_var.uniform_(0.5, 3.0, generator=generator)
    return model.eval()


def traced(model: nn.Module, task: Task) -> Traced:
    """The channel groups of a model, by a pass over the training part."""
    return trace_channels(model, pass_over(task))


def pass_over(task: Task) -> Callable[[Any], Tensor]:
    """One pass of a model over the training part of a task."""
    return lambda model: outputs_of(model, task, model.prepare(task), "train")


def outputs_on_test(model: GraphModel, task: Task) -> Tensor:
    """What the model says of the test part."""
    return outputs_of(model, task, model.prepare(task), "test")
