"""Compressed models as fast inference, with real kernels only."""

from gnn.runtime import gin as _gin  # noqa: F401  (registers itself)
from gnn.runtime import gnnnet as _gnnnet  # noqa: F401  (registers itself)
from gnn.runtime import hgpsl as _hgpsl  # noqa: F401  (registers itself)
from gnn.runtime import ness as _ness  # noqa: F401  (registers itself)
from gnn.runtime import spline as _spline  # noqa: F401  (registers itself)
from gnn.runtime.registry import RUNTIMES, Inference, compile_inference, model_inference

__all__ = ["RUNTIMES", "Inference", "compile_inference", "model_inference"]
