"""State to bytes and back: the paper's Algorithm 1 for its size figures, and the file that is shipped."""

from gnn.storage.algorithm1 import algorithm1_size_bytes, algorithm1_state, dense_size_bytes
from gnn.storage.container import FileSizes, file_sizes
from gnn.storage.entropy_bound import entropy_bound_bytes
from gnn.storage.model_file import LoadedModel, as_stored, load, save
from gnn.storage.precision import PRECISIONS

__all__ = [
    "PRECISIONS",
    "FileSizes",
    "LoadedModel",
    "algorithm1_size_bytes",
    "algorithm1_state",
    "as_stored",
    "dense_size_bytes",
    "entropy_bound_bytes",
    "file_sizes",
    "load",
    "save",
]
