"""Compressed models as fast inference, with real kernels only."""

from gnn.runtime import spline as _spline  # noqa: F401  (registers itself)
from gnn.runtime.registry import Inference, compile_inference

__all__ = ["Inference", "compile_inference"]
