"""What latencies are measured against: plain eager implementations, and the runtimes as they were."""

from collections.abc import Callable
from typing import Any

from bench.yardsticks.spline import eager_spline
from bench.yardsticks.spline_reference import reference_spline
from gnn.runtime import Inference
from gnn.tasks import NodeClassification

Yardstick = Callable[[Any, NodeClassification], Inference]

EAGER: dict[str, Yardstick] = {"spline": eager_spline}
REFERENCE: dict[str, Yardstick] = {"spline": reference_spline}
