"""Compress graph neural networks: tasks, models, compression methods, storage and runtime, without pytest."""

from gnn import testing
from gnn.case import cases
from gnn.compression import (
    L2,
    A2q,
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
    compress,
    fine_tune,
    sensitivity_scan,
)
from gnn.models import Model
from gnn.runtime import compile, explain  # noqa: A004
from gnn.search import search
from gnn.storage import load, save
from gnn.tasks import graph_task, link_task, node_task
from gnn.training import evaluate, fit
from gnn.training_settings import Recipe, TrainingSettings

__all__ = [
    "L2",
    "A2q",
    "DegreeQuant",
    "Dense",
    "FineGrained",
    "GlobalMagnitude",
    "Gradual",
    "Hybrid",
    "LayerAdaptive",
    "LotteryTicket",
    "Model",
    "PostTraining",
    "Qat",
    "Recipe",
    "Sensitivity",
    "Structured",
    "TrainingSettings",
    "cases",
    "compile",
    "compress",
    "evaluate",
    "explain",
    "fine_tune",
    "fit",
    "graph_task",
    "link_task",
    "load",
    "node_task",
    "save",
    "search",
    "sensitivity_scan",
    "testing",
]
