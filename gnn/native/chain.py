"""An aggregation and the products after it as one call, some rows at a time."""

import ctypes
from collections.abc import Sequence

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
    """Products one after the other, each with its activation, of features or of what a matrix sums up of them.

    Rows of another table may stand beside the sums, so that a node's own row has a part of the first weight.
    """

    def __init__(self, weights: Sequence[PackedWeight], activations: Sequence[Activation]) -> None:
        self.weights, self.activations = list(weights), list(activations)
        self._outputs = self.weights[-1].weight.shape[1]
        self._ways: dict[tuple[int, bool, int], str] = {}
        self._steps: tuple[object, object] = ((), None)

    def __getstate__(self) -> dict[str, object]:
        # Where tensors lie in memory is nothing for a copy.
        return {**vars(self), "_steps": ((), None)}

    def __call__(self, features: Tensor, matrix: CsrMatrix | None, bases: Bases, own: Tensor | None = None) -> Tensor:
        """activation(... activation([matrix @ x || own] W + base) ...).

        Shapes: features [columns, in]; own [rows, ...] or None; each base [out], [rows, out] or None; -> [rows, out of
        the last weight].
        """
        rows = features.shape[0] if matrix is None else matrix.shape[0]
        key = (rows_class(rows), matrix is None, 0 if own is None else own.shape[-1])
        way = self._ways.get(key)
        if library() is None or way == "torch" or not self._takes(features, matrix, bases, own):
            return self.apart(features, matrix, bases, own)
        if way is None:
            way = self._choose(key, features, matrix, bases, own)
        if way == "torch":
            return self.apart(features, matrix, bases, own)
        return self._native(features, matrix, bases, own, sparse=way == SPARSE)

    def _choose(
        self, key: tuple[int, bool, int], features: Tensor, matrix: CsrMatrix | None, bases: Bases, own: Tensor | None
    ) -> str:
        ways = {
            "torch": lambda: self.apart(features, matrix, bases, own),
            "native": lambda: self._native(features, matrix, bases, own, sparse=False),
        }
        if any(weight.sparsity_class for weight in self.weights):
            ways[SPARSE] = lambda: self._native(features, matrix, bases, own, sparse=True)
        sizes = [size for weight in self.weights for size in (*weight.weight.shape, *weight.sparsity_class)]
        self._ways[key] = fastest(("chain", *sizes, *key), ways)
        return self._ways[key]

    @property
    def ways(self) -> set[str]:
        """The ways that calls until now have gone, and those of the products that went apart."""
        return set(self._ways.values()).union(*[weight.ways for weight in self.weights])

    def apart(self, features: Tensor, matrix: CsrMatrix | None, bases: Bases, own: Tensor | None = None) -> Tensor:
        """The same, one after the other."""
        out = features if matrix is None else aggregate(matrix, features)
        if own is not None:
            out = torch.cat([out, own], dim=1)
        for weight, base, activation in zip(self.weights, bases, self.activations, strict=True):
            out = weight.product(out, base, activation)
        return out

    def _takes(self, features: Tensor, matrix: CsrMatrix | None, bases: Bases, own: Tensor | None) -> bool:
        first, value = self.weights[0].weight, None if matrix is None else matrix.value
        beside = 0
        if own is not None:
            rows = features.shape[0] if matrix is None else matrix.shape[0]
            if own.dim() != 2 or own.shape[0] != rows:
                return False
            beside = own.shape[1]
        fits = features.dim() == 2 and features.shape[1] + beside == first.shape[0]
        return fits and taken(features, first, value, own, *bases)

    def _native(
        self, features: Tensor, matrix: CsrMatrix | None, bases: Bases, own: Tensor | None, *, sparse: bool
    ) -> Tensor:
        features = features.contiguous()
        own = own if own is None else own.contiguous()
        bases = [None if base is None else base.contiguous() for base in bases]
        if matrix is None:
            rows, graph = features.shape[0], (None, None, None)
        else:
            require_rows(matrix, features)
            rows, graph = matrix.shape[0], tuple(part.data_ptr() for part in matrix.compact)
        out = torch.empty(rows, self._outputs)
        refused = kernels().chain(
            *graph,
            features.data_ptr(),
            rows,
            features.shape[1],
            None if own is None else own.data_ptr(),
            0 if own is None else own.shape[1],
            self._described(bases, sparse=sparse),
            len(self.weights),
            out.data_ptr(),
        )
        return self.apart(features, matrix, bases, own) if refused else out

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
