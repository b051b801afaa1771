"""x W + b with its activation, by the fastest kernel of this machine."""

import torch
from torch import Tensor

from gnn.native.activations import NOTHING, Activation
from gnn.native.fastest import fastest, rows_class
from gnn.native.library import kernels, library
from gnn.native.tensors import taken


class PackedWeight:
    """A weight [in, out] that never changes and, once a kernel has asked for it, the same in panels of outputs."""

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight
        self._panels: Tensor | None = None
        self._ways: dict[tuple[int, bool, Activation], str] = {}

    @property
    def panels(self) -> Tensor:
        """The weight as the compiled kernels read it."""
        if self._panels is None:
            self._panels = _packed(self.weight)
        return self._panels

    def product(self, features: Tensor, base: Tensor | None, activation: Activation = NOTHING) -> Tensor:
        """activation(x W + base).

        Shapes: features [rows, in], base [out], [rows, out] or None -> [rows, out].
        """
        if not taken(features, self.weight, base) or features.dim() != 2 or features.shape[1] != len(self.weight):
            return plain_product(features, self.weight, base, activation)
        key = (rows_class(len(features)), base is not None and base.dim() > 1, activation)
        way = self._ways.get(key) or self._choose(key, features, base)
        if way == "native":
            return self._native(features, base, activation)
        if way == "onednn":
            return self._onednn(features, base, activation)
        return plain_product(features, self.weight, base, activation)

    def _choose(self, key: tuple[int, bool, Activation], features: Tensor, base: Tensor | None) -> str:
        activation = key[2]
        ways = {"torch": lambda: plain_product(features, self.weight, base, activation)}
        if library() is not None:
            ways["native"] = lambda: self._native(features, base, activation)
        if not key[1] and activation.name != "elu":
            ways["onednn"] = lambda: self._onednn(features, base, activation)
        rows, by_row, _ = key
        self._ways[key] = fastest(("product", *self.weight.shape, rows, by_row, activation.name), ways)
        return self._ways[key]

    def _native(self, features: Tensor, base: Tensor | None, activation: Activation) -> Tensor:
        if features.stride(1) != 1:
            features = features.contiguous()
        channels, outputs = self.weight.shape
        out = torch.empty(len(features), outputs)
        stride = 0
        if base is not None:
            base = base.contiguous()
            stride = outputs if base.dim() > 1 else 0
        kernels().product(
            features.data_ptr(),
            features.stride(0),
            self.panels.data_ptr(),
            None if base is None else base.data_ptr(),
            stride,
            out.data_ptr(),
            len(features),
            channels,
            outputs,
            activation.number,
            activation.alpha,
        )
        return out

    def _onednn(self, features: Tensor, base: Tensor | None, activation: Activation) -> Tensor:
        # It is not public, so that torch is pinned and this is the only place that calls it.
        linear = torch.ops.mkldnn._linear_pointwise
        return linear(features, self.weight.t(), base, activation.name, [], "")


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
