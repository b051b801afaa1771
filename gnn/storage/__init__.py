"""State to bytes and back: the paper's Algorithm 1 for its size figures, and the file that is shipped."""

from gnn.storage.algorithm1 import (
    algorithm1_size_bytes,
    algorithm1_state,
    dense_size_bytes,
    entropy_bound_bytes,
)
from gnn.storage.model_file import LoadedModel, load, save

__all__ = [
    "LoadedModel",
    "algorithm1_size_bytes",
    "algorithm1_state",
    "dense_size_bytes",
    "entropy_bound_bytes",
    "load",
    "save",
]
