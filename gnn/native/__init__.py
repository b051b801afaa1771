"""Kernels for one core in C, each with the same in PyTorch beside it; which runs is measured once per machine."""

from gnn.native.activations import NOTHING, Activation, transform
from gnn.native.aggregation import aggregate, maximum, sum_rectified
from gnn.native.attention import Attention
from gnn.native.chain import ProductChain
from gnn.native.library import missing_because
from gnn.native.products import PackedWeight

__all__ = [
    "NOTHING",
    "Activation",
    "Attention",
    "PackedWeight",
    "ProductChain",
    "aggregate",
    "maximum",
    "missing_because",
    "sum_rectified",
    "transform",
]
