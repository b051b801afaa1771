"""Straightforward implementations that speed-ups are measured against, one a model."""

from collections.abc import Callable
from typing import Any

from bench.yardsticks.spline import eager_spline
from gnn.runtime import Inference
from gnn.tasks import NodeClassification

EAGER: dict[str, Callable[[Any, NodeClassification], Inference]] = {"spline": eager_spline}
