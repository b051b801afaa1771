"""Kernels that models share."""

from gnn.layers.csr_matrix import CsrMatrix, bag_sum
from gnn.layers.graph_convolution import GraphConvolution, NormalizedAdjacency
from gnn.layers.spline_basis import spline_basis
from gnn.layers.spline_convolution import SplineConvolution

__all__ = ["CsrMatrix", "GraphConvolution", "NormalizedAdjacency", "SplineConvolution", "bag_sum", "spline_basis"]
