"""Methods that make a model smaller, one a file."""

from gnn.compression.dense import Dense
from gnn.compression.fine_grained import FineGrained
from gnn.compression.global_magnitude import GlobalMagnitude
from gnn.compression.masks import Masks, fine_tune
from gnn.compression.prunable import prunable_parameters, sparsity_of
from gnn.compression.registry import METHODS, CompressionSettings, compress, register_method

__all__ = [
    "METHODS",
    "CompressionSettings",
    "Dense",
    "FineGrained",
    "GlobalMagnitude",
    "Masks",
    "compress",
    "fine_tune",
    "prunable_parameters",
    "register_method",
    "sparsity_of",
]
