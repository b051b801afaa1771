"""The architectures that are compressed, one a file."""

from gnn.models import spline as _spline  # noqa: F401  (registers itself)
from gnn.models.registry import (
    MODELS,
    GraphModel,
    RegisteredModel,
    build_model,
    build_model_for,
    settings_mapping,
)

__all__ = ["MODELS", "GraphModel", "RegisteredModel", "build_model", "build_model_for", "settings_mapping"]
