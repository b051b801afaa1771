"""Pickles of arrays, read without executing what else a pickle may ask for."""

import io
import pickle
from typing import Any

from gnn.errors import DatasetError

# By the names that NumPy, SciPy and Python had when Planetoid's files were made, and where each is today.
ADMITTED = {
    ("__builtin__", "list"): "builtins",
    ("collections", "defaultdict"): "collections",
    ("numpy", "dtype"): "numpy",
    ("numpy", "ndarray"): "numpy",
    ("numpy.core.multiarray", "_reconstruct"): "numpy._core.multiarray",
    ("scipy.sparse.csr", "csr_matrix"): "scipy.sparse",
}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str, /) -> Any:  # noqa: ANN401
        if (module, name) not in ADMITTED:
            known = ", ".join(sorted({admitted for _, admitted in ADMITTED}))
            raise DatasetError(
                f"a pickle asks for {module}.{name}, which is not executed; expected arrays alone ({known}), copy the "
                "file from its publisher"
            )
        return super().find_class(ADMITTED[module, name], name)


def unpickle_arrays(content: bytes) -> Any:  # noqa: ANN401
    """What a pickle of Python 2 holds: arrays of NumPy and SciPy, lists and dictionaries.

    Raises `DatasetError` naming whatever else it asks for.
    """
    return _ArrayUnpickler(io.BytesIO(content), encoding="latin1").load()
