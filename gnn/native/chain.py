"""An aggregation and the products after it as one call, some rows at a time."""

import ctypes
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gnn.layers import CsrMatrix
from gnn.native.activations import Activation
from gnn.native.aggregation import aggregate, require_rows
from gnn.native.fastest import SPARSE, fastest, rows_class
from gnn.native.library import kernels, library
from gnn.native.products import PackedWeight
from gnn.native.tensors import taken

Bases = Sequence[Tensor | None]


class _Step(ctypes.Structure):
    _fields_ = (
        ("pointer", ctypes.c_void_p),
        ("column", ctypes.c_void_p),
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
        self._outputs = self.weights[-1].weight.shape[1]
        self._ways: dict[tuple[int, bool], str] = {}
        self._steps: tuple[object, object] = ((), None)

    def __getstate__(self) -> dict[str, Any]:
        # Where tensors lie in memory is nothing for a copy.
        return {**vars(self), "_steps": ((), None)}

    def __call__(self, features: Tensor, matrix: CsrMatrix | None, bases: Bases) -> Tensor:
        """activation(... activation((matrix @ x) W + base) ...).

        Shapes: features [columns, in]; each base [out], [rows, out] or None; -> [rows, out of the last weight].
        """
        rows = len(features) if matrix is None else matrix.shape[0]
        key = (rows_class(rows), matrix is None)
        way = self._ways.get(key)
        if library() is None or way == "torch" or not self._takes(features, matrix, bases):
            return self.apart(features, matrix, bases)
        if way is None:
            way = self._choose(key, features, matrix, bases)
        if way == "torch":
            return self.apart(features, matrix, bases)
        return self._native(features, matrix, bases, sparse=way == SPARSE)

    def _choose(self, key: tuple[int, bool], features: Tensor, matrix: CsrMatrix | None, bases: Bases) -> str:
        ways = {
            "torch": lambda: self.apart(features, matrix, bases),
            "native": lambda: self._native(features, matrix, bases, sparse=False),
        }
        if any(weight.sparsity_class for weight in self.weights):
            ways[SPARSE] = lambda: self._native(features, matrix, bases, sparse=True)
        sizes = [size for weight in self.weights for size in (*weight.weight.shape, *weight.sparsity_class)]
        self._ways[key] = fastest(("chain", *sizes, *key), ways)
        return self._ways[key]

    @property
    def ways(self) -> set[str]:
        """The ways that calls until now have gone, and those of the products that went apart."""
        return set(self._ways.values()).union(*[weight.ways for weight in self.weights])

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

    def _native(self, features: Tensor, matrix: CsrMatrix | None, bases: Bases, *, sparse: bool) -> Tensor:
        features = features.contiguous()
        bases = [None if base is None else base.contiguous() for base in bases]
        if matrix is None:
            rows, graph = len(features), (None, None, None)
        else:
            require_rows(matrix, features)
            rows, graph = matrix.shape[0], tuple(part.data_ptr() for part in matrix.compact)
        steps, channels = self._described(bases, sparse=sparse), features.shape[1]
        out = torch.empty(rows, self._outputs)
        refused = kernels().chain(*graph, features.data_ptr(), rows, channels, steps, len(self.weights), out.data_ptr())
        return self.apart(features, matrix, bases) if refused else out

    def _described(self, bases: Bases, *, sparse: bool) -> object:
        places = tuple(None if base is None else base.data_ptr() for base in bases)
        if (sparse, places) != self._steps[0]:
            steps = (_Step * len(self.weights))()
            described = zip(self.weights, bases, self.activations, strict=True)
            for number, (weight, base, activation) in enumerate(described):
                outputs = weight.weight.shape[1]
                stride = outputs if base is not None and base.dim() > 1 else 0
                entries = sparse and bool(weight.sparsity_class)
                packed = weight.places(sparse=entries)
                packed = packed if entries else (None, None, *packed)
                steps[number] = _Step(*packed, places[number], stride, outputs, activation.number, activation.alpha)
            self._steps = ((sparse, places), steps)
        return self._steps[1]
