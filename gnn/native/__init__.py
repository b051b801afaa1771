"""Kernels for one core in C, each with the same in PyTorch beside it; which runs is measured once per machine."""

from gnn.native.activations import NOTHING, Activation, transform
from gnn.native.aggregation import aggregate, maximum
from gnn.native.attention import Attention
from gnn.native.bfloat16 import Bfloat16Weight, rounded
from gnn.native.chain import ProductChain
from gnn.native.fastest import SPARSE
from gnn.native.library import has_bfloat16, missing_because
from gnn.native.products import PackedWeight

__all__ = [
    "NOTHING",
    "SPARSE",
    "Activation",
    "Attention",
    "Bfloat16Weight",
    "PackedWeight",
    "ProductChain",
    "aggregate",
    "has_bfloat16",
    "maximum",
    "missing_because",
    "rounded",
    "transform",
]
