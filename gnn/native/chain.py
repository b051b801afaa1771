"""An aggregation and the products after it as one call, some rows at a time."""

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from gnn.layers import CsrMatrix
from gnn.native.activations import Activation
from gnn.native.aggregation import aggregate, require_rows
from gnn.native.fastest import fastest, rows_class
from gnn.native.library import kernels, library
from gnn.native.products import PackedWeight
from gnn.native.tensors import taken

Bases = Sequence[Tensor | None]


class _Step(ctypes.Structure):
    _fields_ = (
        ("packed", ctypes.c_void_p),
        ("base", ctypes.c_void_p),
        ("base_stride", ctypes.c_int64),
        ("outputs", ctypes.c_int64),
        ("activation", ctypes.c_int64),
        ("alpha", ctypes.c_double),
    )


class ProductChain:
    """Products one after the other, each with its activation, of features or of what a matrix sums up of them."""

    def __init__(self, weights: Sequence[PackedWeight], activations: Sequence[Activation]) -> None:
        self.weights, self.activations = list(weights), list(activations)
        self._key = tuple(size for weight in weights for size in weight.weight.shape)
        self._ways: dict[tuple[int, bool], str] = {}
        self._steps: tuple[tuple[int | None, ...], object] = ((), None)

    def __call__(self, features: Tensor, matrix: CsrMatrix | None, bases: Bases) -> Tensor:
        """activation(... activation((matrix @ x) W + base) ...).

        Shapes: features [columns, in]; each base [out], [rows, out] or None; -> [rows, out of the last weight].
        """
        rows = len(features) if matrix is None else matrix.shape[0]
        key = (rows_class(rows), matrix is None)
        if self._ways.get(key) == "native" and self._takes(features, matrix, bases):
            return self._native(features, matrix, bases)
        if library() is None or key in self._ways or not self._takes(features, matrix, bases):
            return self.apart(features, matrix, bases)
        ways = {
            "torch": lambda: self.apart(features, matrix, bases),
            "native": lambda: self._native(features, matrix, bases),
        }
        self._ways[key] = fastest(("chain", *self._key, *key), ways)
        return self(features, matrix, bases)

    def apart(self, features: Tensor, matrix: CsrMatrix | None, bases: Bases) -> Tensor:
        """The same, one after the other."""
        out = features if matrix is None else aggregate(matrix, features)
        for weight, base, activation in zip(self.weights, bases, self.activations, strict=True):
            out = weight.product(out, base, activation)
        return out

    def _takes(self, features: Tensor, matrix: CsrMatrix | None, bases: Bases) -> bool:
        first = self.weights[0].weight
        value = None if matrix is None else matrix.value
        return features.dim() == 2 and features.shape[1] == len(first) and taken(features, first, value, *bases)

    def _native(self, features: Tensor, matrix: CsrMatrix | None, bases: Bases) -> Tensor:
        features = features.contiguous()
        bases = [None if base is None else base.contiguous() for base in bases]
        if matrix is None:
            rows, graph = len(features), (None, None, None)
        else:
            require_rows(matrix, features)
            rows, graph = matrix.shape[0], tuple(part.data_ptr() for part in matrix.compact)
        out = torch.empty(rows, self._key[-1])
        failed = kernels().chain(
            *graph, features.data_ptr(), rows, self._key[0], self._described(bases), len(self.weights), out.data_ptr()
        )
        return self.apart(features, matrix, bases) if failed else out

    def _described(self, bases: Bases) -> object:
        places = tuple(None if base is None else base.data_ptr() for base in bases)
        if places != self._steps[0]:
            steps = (_Step * len(self.weights))()
            described = zip(self.weights, bases, self.activations, strict=True)
            for number, (weight, base, activation) in enumerate(described):
                outputs = weight.weight.shape[1]
                stride = outputs if base is not None and base.dim() > 1 else 0
                steps[number] = _Step(
                    weight.panels.data_ptr(), places[number], stride, outputs, activation.number, activation.alpha
                )
            self._steps = (places, steps)
        return self._steps[1]
