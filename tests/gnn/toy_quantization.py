"""Small tasks of every kind, and contexts in which methods train quantized models on them."""

import copy
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gnn.artifacts import ArtifactStore
from gnn.compression import TrainingContext
from gnn.determinism import deterministic
from gnn.models import MODELS, GraphModel, build_model_for
from gnn.quantization.description import Quantization
from gnn.tasks import Task
from gnn.training import fit
from gnn.training_settings import Recipe, TrainingSettings
from tests.gnn.citation_checks import link_task
from tests.gnn.conftest import build_small_task
from tests.gnn.random_graphs import random_task

EPOCHS = 2
SETTINGS = TrainingSettings(0.01, 1e-3, epochs=EPOCHS, patience=EPOCHS, batch_size=16)


@cache
def tasks_of_every_kind() -> dict[str, Task]:
    """A small task of every kind; nobody changes them."""
    return {task.kind: task for task in (random_task(), build_small_task(), link_task())}


def task_for(name: str, tasks: dict[str, Task]) -> Task:
    """The task that a model is for."""
    return tasks[MODELS[name].task_kinds[0]]


def initial_model(name: str, task: Task) -> GraphModel:
    """A model that was not trained, the same one every time."""
    with deterministic(0):
        return build_model_for(name, task)


def toy_context(name: str, task: Task, folder: Path, settings: TrainingSettings = SETTINGS) -> TrainingContext:
    """The training context of a model; what a method remembers goes to `folder`."""
    store = ArtifactStore(folder)
    return TrainingContext(
        model_name=name,
        task=task,
        recipe=Recipe(settings, settings),
        seed=0,
        initial=lambda: initial_model(name, task),
        remember=lambda what, build: store.load_or_build({"toy": name, **what}, build),
    )


def trained_model(name: str, task: Task, epochs: int = 4) -> GraphModel:
    """A dense model whose normalisation has seen some batches."""
    return copy.deepcopy(_trained_model(name, task, epochs))


@cache
def _trained_model(name: str, task: Task, epochs: int) -> GraphModel:
    model = initial_model(name, task)
    fit(model, task, TrainingSettings(0.01, 0.0, epochs=epochs, patience=epochs, batch_size=16), seed=0)
    return model.eval()


def integer_model(name: str, quantization: Quantization, task: Task) -> GraphModel:
    """A model that was trained with quantizers for some steps, on integers."""
    return quantization.to_integers(copy.deepcopy(_simulated_model(name, quantization, task)))


@cache
def _simulated_model(name: str, quantization: Quantization, task: Task) -> GraphModel:
    with deterministic(0):
        model = quantization.apply(build_model_for(name, task))
        inputs, optimizer = model.prepare(task), torch.optim.Adam(model.parameters(), lr=0.005)
        for _ in range(3):
            for loss in model.losses(task, inputs, 16):
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    return model.eval()


@torch.no_grad()
def logits(model: GraphModel, task: Task, inputs: Any = None) -> Tensor:  # noqa: ANN401
    """What a model says of the test part."""
    with deterministic(0):
        return model.eval().outputs(task, model.prepare(task) if inputs is None else inputs, "test")


def same(one: nn.Module, other: nn.Module) -> bool:
    """Whether two models have the same state to the bit."""
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)
