"""A small dense model, trained for a moment, with all that a method needs to train it again."""

import copy
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gnn.artifacts import ArtifactStore
from gnn.compression import (
    L2,
    A2q,
    Bf16,
    DegreeQuant,
    Dense,
    FineGrained,
    GlobalMagnitude,
    Gradual,
    Hybrid,
    LayerAdaptive,
    LotteryTicket,
    PostTraining,
    Qat,
    Sensitivity,
    Structured,
    TrainingContext,
)
from gnn.models import GraphModel
from gnn.tasks import NodeClassification
from gnn.training import fit
from gnn.training_settings import Recipe, TrainingSettings
from tests.gnn.conftest import build_small_model

SETTINGS = TrainingSettings(0.01, 5e-3, epochs=5, patience=5, most_epochs=10)
RECIPE = Recipe(SETTINGS, replace(SETTINGS, epochs=4, most_epochs=None))
State = dict[str, Tensor]
EVERY_METHOD = (
    Dense(),
    FineGrained(0.5),
    GlobalMagnitude(0.5),
    Gradual(0.5),
    Hybrid(GlobalMagnitude(0.5)),
    L2(1e-3, 0.5),
    LayerAdaptive(0.5),
    LotteryTicket(0.5, "one-shot"),
    PostTraining(),
    Qat(),
    A2q(),
    Bf16(),
    DegreeQuant(),
    Sensitivity(0.1),
    Structured(0.5),
)


class ToySubject(NamedTuple):
    model: GraphModel
    context: TrainingContext


def toy_subject(task: NodeClassification, folder: Path, seed: int = 0, recipe: Recipe = RECIPE) -> ToySubject:
    """The SplineNet of a seed, trained; what a method remembers goes to `folder`."""
    model, store = copy.deepcopy(_trained(task, seed, recipe)), ArtifactStore(folder)
    context = TrainingContext(
        model_name="spline",
        task=task,
        recipe=recipe,
        seed=seed,
        initial=lambda other=None: build_small_model(task, seed if other is None else other),
        remember=lambda what, build: store.load_or_build({"toy": seed, **what}, build),
    )
    return ToySubject(model, context)


@cache
def _trained(task: NodeClassification, seed: int, recipe: Recipe) -> GraphModel:
    model = build_small_model(task, seed)
    fit(model, task, recipe.training, seed)
    return model


def state_of(model: nn.Module) -> State:
    return copy.deepcopy(model.state_dict())


def same(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
