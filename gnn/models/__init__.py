"""The architectures that are compressed, one a file."""

from gnn.models.bare import bare_model, fp32_model, runnable_model, unwrapped_model
from gnn.models.families import GraphClassifier, LinkPredictor, NodeClassifier
from gnn.models.given import Model
from gnn.models.plain import on_task
from gnn.models.registry import (
    MODELS,
    GraphModel,
    ModelEntry,
    RegisteredModel,
    build_model,
    build_model_for,
    settings_mapping,
)
from gnn.registry import import_parts

import_parts(__name__, __path__)

__all__ = [
    "MODELS",
    "GraphClassifier",
    "GraphModel",
    "LinkPredictor",
    "Model",
    "ModelEntry",
    "NodeClassifier",
    "RegisteredModel",
    "bare_model",
    "build_model",
    "build_model_for",
    "fp32_model",
    "on_task",
    "runnable_model",
    "settings_mapping",
    "unwrapped_model",
]
