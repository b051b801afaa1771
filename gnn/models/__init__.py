"""The architectures that are compressed, one a file."""

from gnn.models import gcn as _gcn  # noqa: F401  (registers itself)
from gnn.models import gcn_readout as _gcn_readout  # noqa: F401  (registers itself)
from gnn.models import gin as _gin  # noqa: F401  (registers itself)
from gnn.models import gnnnet as _gnnnet  # noqa: F401  (registers itself)
from gnn.models import graphconv as _graphconv  # noqa: F401  (registers itself)
from gnn.models import graphsage as _graphsage  # noqa: F401  (registers itself)
from gnn.models import hgpsl as _hgpsl  # noqa: F401  (registers itself)
from gnn.models import ness as _ness  # noqa: F401  (registers itself)
from gnn.models import sage_readout as _sage_readout  # noqa: F401  (registers itself)
from gnn.models import spline as _spline  # noqa: F401  (registers itself)
from gnn.models import ssp as _ssp  # noqa: F401  (registers itself)
from gnn.models import supergat_readout as _supergat_readout  # noqa: F401  (registers itself)
from gnn.models import walkpooling as _walkpooling  # noqa: F401  (registers itself)
from gnn.models.bare import bare_model, fp32_model, runnable_model, unwrapped_model
from gnn.models.families import GraphClassifier, LinkPredictor, NodeClassifier
from gnn.models.registry import (
    MODELS,
    GraphModel,
    RegisteredModel,
    build_model,
    build_model_for,
    settings_mapping,
)

__all__ = [
    "MODELS",
    "GraphClassifier",
    "GraphModel",
    "LinkPredictor",
    "NodeClassifier",
    "RegisteredModel",
    "bare_model",
    "build_model",
    "build_model_for",
    "fp32_model",
    "runnable_model",
    "settings_mapping",
    "unwrapped_model",
]
