"""x W + b with its activation, by the fastest kernel of this machine."""

from collections.abc import Callable
from functools import cached_property, partial

import torch
from torch import Tensor

from gnn.layers import CsrMatrix
from gnn.native.activations import NOTHING, Activation
from gnn.native.fastest import NATIVE, SPARSE, fastest, rows_class
from gnn.native.library import kernels, library
from gnn.native.tensors import taken

# A kernel that reads only what is not zero is tried from this share of zeros on; it is as fast as others at a half.
LEAST_SPARSITY = 0.55
SPARSITY_CLASSES = 20


class PackedWeight:
    """A weight [in, out] that never changes and, once a kernel has asked for it, the same as that kernel reads it."""

    kind = "product"

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight
        self._ways: dict[tuple[int, bool, Activation], str] = {}

    @cached_property
    def panels(self) -> Tensor:
        """The weight in panels of outputs."""
        return _packed(self.weight)

    @cached_property
    def sparsity(self) -> float:
        """The share of the weight that is exactly zero."""
        return 1 - int(torch.count_nonzero(self.weight)) / max(1, self.weight.numel())

    @cached_property
    def sparsity_class(self) -> tuple[str, ...]:
        """What a measurement is kept under beside the shape; nothing for a weight that is dense."""
        share = int(self.sparsity * SPARSITY_CLASSES) / SPARSITY_CLASSES
        return (f"sparsity={share}",) if self.sparsity >= LEAST_SPARSITY else ()

    @cached_property
    def entries(self) -> tuple[Tensor, Tensor, Tensor]:
        """Row pointer, columns and values of the transposed weight, without its zeros."""
        output, channel = self.weight.t().nonzero(as_tuple=True)
        channels, outputs = self.weight.shape
        return CsrMatrix.from_coordinates(output, channel, self.weight[channel, output], (outputs, channels)).compact

    def places(self, *, sparse: bool) -> tuple[int, ...]:
        """Where in memory the weight is, in panels or as its entries."""
        return tuple([part.data_ptr() for part in self.entries]) if sparse else (self.panels.data_ptr(),)

    @property
    def ways(self) -> set[str]:
        """The ways that calls until now have gone."""
        return set(self._ways.values())

    def product(self, features: Tensor, base: Tensor | None, activation: Activation = NOTHING) -> Tensor:
        """activation(x W + base).

        Shapes: features [rows, in], base [out], [rows, out] or None -> [rows, out].
        """
        if not taken(features, self.weight, base) or features.dim() != 2 or features.shape[1] != len(self.weight):
            return self._plain(features, base, activation)
        key = (rows_class(len(features)), base is not None and base.dim() > 1, activation)
        way = self._ways.get(key) or self._choose(key, features, base)
        return self._by(way, features, base, activation)

    def _choose(self, key: tuple[int, bool, Activation], features: Tensor, base: Tensor | None) -> str:
        rows, by_row, activation = key
        ways = {way: partial(self._by, way, features, base, activation) for way in self._offered()}
        named = (self.kind, *self.weight.shape, rows, by_row, activation.name, *self.sparsity_class)
        self._ways[key] = fastest(named, ways)
        return self._ways[key]

    def _offered(self) -> list[str]:
        """The ways there are, PyTorch's own first."""
        # oneDNN's linear is none: it keeps memory as large as its result for each number of rows that it has ever seen.
        if library() is None:
            return ["torch"]
        return ["torch", NATIVE, SPARSE] if self.sparsity_class else ["torch", NATIVE]

    def _by(self, way: str, features: Tensor, base: Tensor | None, activation: Activation) -> Tensor:
        if way in (NATIVE, SPARSE):
            return self._native(features, base, activation, sparse=way == SPARSE)
        return self._plain(features, base, activation)

    def _plain(self, features: Tensor, base: Tensor | None, activation: Activation) -> Tensor:
        return plain_product(features, self.weight, base, activation)

    def _native(self, features: Tensor, base: Tensor | None, activation: Activation, *, sparse: bool) -> Tensor:
        kernel, weight = kernels().sparse_product if sparse else kernels().product, self.places(sparse=sparse)
        out = native_product(kernel, weight, features, base, activation, self.weight.shape[1])
        return self._native(features, base, activation, sparse=False) if out is None else out


def native_product(
    kernel: Callable[..., int | None],
    weight: tuple[int, ...],
    features: Tensor,
    base: Tensor | None,
    activation: Activation,
    outputs: int,
) -> Tensor | None:
    """What a kernel for products gives for a weight at some places in memory; None where it refuses."""
    if features.stride(1) != 1:
        features = features.contiguous()
    out = torch.empty(len(features), outputs)
    stride = 0
    if base is not None:
        base = base.contiguous()
        stride = outputs if base.dim() > 1 else 0
    refused = kernel(
        features.data_ptr(),
        features.stride(0),
        *weight,
        None if base is None else base.data_ptr(),
        stride,
        out.data_ptr(),
        *features.shape,
        outputs,
        activation.number,
        activation.alpha,
    )
    return None if refused else out


def plain_product(features: Tensor, weight: Tensor, base: Tensor | None, activation: Activation) -> Tensor:
    """The same in PyTorch."""
    return activation.in_place(features @ weight if base is None else torch.addmm(base, features, weight))


def _packed(weight: Tensor) -> Tensor:
    channels, outputs = weight.shape
    panel = kernels().panel_width()
    packed = torch.empty(-(-outputs // panel) * panel * channels)
    whole = weight.contiguous()
    kernels().pack(whole.data_ptr(), channels, outputs, packed.data_ptr())
    return packed
