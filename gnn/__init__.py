"""Compress graph neural networks: tasks, models, compression methods, storage and runtime, without pytest."""

from importlib import import_module
from typing import TYPE_CHECKING

# PyTorch takes seconds to import, and who wants a single part does without the others.
if TYPE_CHECKING:
    from gnn import testing
    from gnn.case import cases
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
        compress,
        fine_tune,
        sensitivity_scan,
    )
    from gnn.models import Model
    from gnn.runtime import compile, explain  # noqa: A004
    from gnn.searching import search
    from gnn.storage import load, save
    from gnn.tasks import graph_task, link_task, node_task
    from gnn.training import evaluate, fit
    from gnn.training_settings import Recipe, TrainingSettings

__all__ = [
    "L2",
    "A2q",
    "Bf16",
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

# Where those names are, in the order of imports.
_MODULES = (
    "gnn.training_settings",
    "gnn.tasks",
    "gnn.models",
    "gnn.training",
    "gnn.runtime",
    "gnn.compression",
    "gnn.storage",
    "gnn.case",
    "gnn.searching",
)


def __getattr__(name: str) -> object:
    """Import what is asked for when it is first asked for."""
    if name == "testing":
        return import_module("gnn.testing")
    modules = map(import_module, _MODULES if name in __all__ else ())
    found = next((module for module in modules if hasattr(module, name)), None)
    if found is None:
        raise AttributeError(f"module 'gnn' has no attribute {name!r}")
    return getattr(found, name)
