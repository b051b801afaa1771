"""Kernels for one core in C, each with the same in PyTorch beside it; which runs is measured once per machine."""

from gnn.native.activations import NOTHING, Activation, transform
from gnn.native.aggregation import aggregate, maximum
from gnn.native.chain import ProductChain
from gnn.native.library import missing_because
from gnn.native.products import PackedWeight

__all__ = [
    "NOTHING",
    "Activation",
    "PackedWeight",
    "ProductChain",
    "aggregate",
    "maximum",
    "missing_because",
    "transform",
]
