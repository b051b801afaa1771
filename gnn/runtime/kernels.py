"""The kernels that layers are lowered to; each takes the place of a layer's forward in a copy of its model."""

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from gnn.errors import SettingError
from gnn.layers import CsrMatrix, NormalizedAdjacency
from gnn.layers.rules import lower
from gnn.native import NOTHING, Activation, Bfloat16Weight, PackedWeight, ProductChain, rounded, transform
from gnn.native import aggregate as aggregate_matrix
from gnn.runtime.graph_cache import STRUCTURE, GraphCache, with_own_row

# Where a lowered layer has its kernel.
KERNEL = "_lowered"
# Where kernels keep what they make of their weights and activation.
MADE = ("packed", "stacked", "chains", "sum_then")


class Kernel(nn.Module):
    """What computes a layer instead of its own forward, called as that is.

    `name` is what `explain` says. A kernel that is `entered` is made of layers and kernels, and a trace looks inside.
    Its `activation` is done to its result before that is written; None stands for a kernel that cannot. Where it
    `reads_bfloat16` its products round what they read, in the order that the layer has them in.
    """

    name: ClassVar[str]
    entered: ClassVar[bool] = False
    activation: Any = None
    reads_bfloat16 = False

    def activated(self, activation: Activation) -> "Kernel | None":
        """The same kernel with an activation of what it gives, None where that cannot be."""
        if self.activation != NOTHING:
            return None
        other = copy.copy(self)
        vars(other)["_modules"] = dict(self._modules)
        other.activation = activation
        other._forget()
        return other

    def _forget(self) -> None:
        """Have what was made of weights and activation made anew."""
        for name in MADE:
            vars(self).pop(name, None)

    def without_bias(self) -> "Kernel":
        """The same kernel with nothing added to its products."""
        other = copy.copy(self)
        vars(other)["_modules"] = dict(self._modules)
        vars(other)["bias"] = None
        return other

    @property
    def ways(self) -> set[str]:
        """How its products were computed until now, see `gnn.native.fastest`."""
        return vars(self)["packed"].ways if "packed" in vars(self) else set()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Kernel":
        """Move the tensors that are plain attributes, which are read faster than buffers, to another device too."""
        vars(self).update({name: fn(value) for name, value in vars(self).items() if isinstance(value, Tensor)})
        self._forget()
        return super()._apply(fn, recurse)


class Affine(Kernel):
    """activation(x W + b) as one product. Shapes: x [..., in], weight [in, out], bias [out] or None."""

    name = "one product with bias"

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.activation = NOTHING
        self.weight, self.bias = weight.detach(), None if bias is None else bias.detach()

    @cached_property
    def packed(self) -> PackedWeight:
        """The weight as products take it."""
        return Bfloat16Weight(self.weight) if self.reads_bfloat16 else PackedWeight(self.weight)

    def forward(self, features: Tensor) -> Tensor:
        """Transform the last axis."""
        if features.dim() != 2:
            features, weight = (
                (rounded(features), rounded(self.weight)) if self.reads_bfloat16 else (features, self.weight)
            )
            return self.activation.in_place(functional.linear(features, weight.t(), self.bias))
        return self.packed.product(features, self.bias, self.activation)

    def of_rows(self, features: Tensor, base: Tensor | None, activation: Activation) -> Tensor:
        """activation(x W + base), for rows [rows, in] and a base [out] or [rows, out]."""
        return self.packed.product(features, base, activation)

    def after(self, scale: Tensor, shift: Tensor) -> "Affine":
        """The same of x scale + shift."""
        base = shift @ self.weight
        affine = Affine(scale[:, None] * self.weight, base if self.bias is None else base + self.bias)
        affine.activation = self.activation
        return affine


def product_of(linear: nn.Module, *, bias: bool = True) -> Affine:
    """The product that a linear layer inside another one is.

    Raises `SettingError` where something else stands in its place, whose weight would not be all of it: another module,
    a subclass with a forward of its own, or a layer with a bias where a type, without `bias`, has none.
    """
    rule = lower.of(linear)
    product = None if rule is None else rule(linear)
    if not isinstance(product, Affine):
        raise SettingError(f"a {type(linear).__name__} stands where it has a linear layer")
    if product.bias is not None and not bias:
        raise SettingError("a linear layer with a bias stands where it has one without")
    return product


class ScaleShift(Kernel):
    """Normalisation by kept statistics as one pass: x scale + shift, [rows, channels]."""

    name = "scale and shift in one pass"

    def __init__(self, scale: Tensor, shift: Tensor, own: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.scale, self.shift, self._own = scale.detach(), shift.detach(), own

    def forward(self, features: Tensor) -> Tensor:
        """Scale and shift each channel."""
        if features.dim() != 2 or features.shape[1] != len(self.scale):
            return self._own(features)
        return torch.addcmul(self.shift, features, self.scale)


class Transform(Kernel):
    """A function of every number."""

    name = "one pass"

    def __init__(self, function: Activation) -> None:
        super().__init__()
        self._function = function

    def forward(self, values: Tensor) -> Tensor:
        """Compute it."""
        return transform(values, self._function)


class Product(Kernel):
    """operator @ (x W) + b: an embedding bag and a dense product, in the order that moves less.

    A product with a sparse x reads only the words that some weight looks at. `tables` > 1: x W holds so many rows of
    the operator's table for each row of x. `shift` [out] is what every row of x W has on top.
    Shapes: x [nodes, in], dense or a `CsrMatrix`; operator (rows, nodes * tables) -> [rows, out].
    """

    name = "embedding bag and one product"

    def __init__(self, weight: Tensor, bias: Tensor | None, *, tables: int = 1, shift: Tensor | None = None) -> None:
        super().__init__()
        self.activation = NOTHING
        self.weight, self.bias, self.shift = weight.detach(), None if bias is None else bias.detach(), shift
        self.tables, self.out = tables, weight.shape[1] // tables
        # An aggregation first has the bias for free, so that a little less to aggregate does not pay.
        self._moves_less = tables == 1 and len(weight) < 2 * self.out
        # Where the layer itself aggregates first; whose products round what they read has no choice.
        self.own_order_aggregates_first = False
        self._words, self._drops = len(weight), False
        self._used: Tensor | None = None
        self._table = self.weight
        self._cache = GraphCache()

    @cached_property
    def packed(self) -> PackedWeight:
        """The weight as products take it."""
        return Bfloat16Weight(self.weight) if self.reads_bfloat16 else PackedWeight(self.weight)

    @property
    def aggregates_first(self) -> bool:
        """Whether it computes (operator @ x) W."""
        return self.own_order_aggregates_first if self.reads_bfloat16 else self._moves_less

    @cached_property
    def stacked(self) -> PackedWeight:
        """The weight of sums and, where there is a shift, of what a row of the operator adds up to beside them."""
        return self.packed if self.shift is None else PackedWeight(torch.cat([self.weight, self.shift[None]]))

    @cached_property
    def chains(self) -> dict[Activation, ProductChain]:
        """Aggregation and product in one, for each activation."""
        return {}

    def forward(self, features: Tensor | CsrMatrix, operator: Any) -> Tensor:  # noqa: ANN401  (whatever multiplies)
        """Project and aggregate."""
        matrix = operator if type(operator) is CsrMatrix else matrix_of(operator)
        if matrix is None:
            return self._by_operator(features, operator)
        return self.compute(features, matrix, self.bias, self.activation)

    def compute(
        self, features: Tensor | CsrMatrix, matrix: CsrMatrix, base: Tensor | None, activation: Activation
    ) -> Tensor:
        """activation(matrix @ (x W) + base), for a base [out] or [rows, out]."""
        # Where there are fewer rows to project than there will be, as of equal ones, the sum comes last.
        fewer = matrix.shape[1] <= 0.8 * matrix.shape[0] and not self.reads_bfloat16
        if self.aggregates_first and not fewer and not isinstance(features, CsrMatrix):
            return self.of_sums(features, matrix, base, activation, self.row_sums(matrix))
        # What was projected has no name: its memory is free, and still in the cache, for what comes next.
        return aggregate_matrix(matrix, self._projected(features), base, activation)

    def of_sums(
        self,
        features: Tensor,
        matrix: CsrMatrix,
        base: Tensor | None,
        activation: Activation,
        own: Tensor | None = None,
    ) -> Tensor:
        """activation([matrix @ x || own] W + base), for rows beside the sums [rows, ...] or None."""
        made = self.chains.get(activation)
        chain = made or self.chains.setdefault(activation, ProductChain([self.stacked], [activation]))
        # A chain reads what it has summed up as it is.
        return (chain.apart if self.reads_bfloat16 else chain)(features, matrix, [base], own)

    @property
    def ways(self) -> set[str]:
        """How its products, with sums before them or without, were computed until now."""
        return super().ways.union(*[chain.ways for chain in vars(self).get("chains", {}).values()])

    def _projected(self, features: Tensor | CsrMatrix) -> Tensor:
        sparse = isinstance(features, CsrMatrix)
        projected = self._of_words(features) if sparse else self.packed.product(features, self.shift)
        return projected if self.tables == 1 else projected.view(-1, self.out)

    def _by_operator(self, features: Any, operator: Any) -> Tensor:  # noqa: ANN401
        projected = (rounded(features) if self.reads_bfloat16 else features) @ self.packed.weight
        if self.tables > 1:
            projected = projected.reshape(-1, self.out)
        out = operator @ (projected if self.shift is None else projected + self.shift)
        return self.activation.in_place(out if self.bias is None else out + self.bias)

    def after(self, scale: Tensor, shift: Tensor) -> "Product":
        """The same of x scale + shift, for a product without a shift and with one table."""
        product = Product(scale[:, None] * self.weight, self.bias, shift=shift @ self.weight)
        product.activation = self.activation
        return product

    def row_sums(self, matrix: CsrMatrix) -> Tensor | None:
        """How often the shift counts in each row [rows, 1], None without one."""
        if self.shift is None:
            return None
        ones = matrix.value.new_ones
        return STRUCTURE.get("row sums", lambda: aggregate_matrix(matrix, ones(matrix.shape[1], 1)), matrix)

    def _of_words(self, features: CsrMatrix) -> Tensor:
        if features.shape[1] != self._words:
            raise SettingError(f"features have {features.shape[1]} channels, the layer reads {self._words}")
        if self._used is None:
            self._used = (self.weight != 0).any(dim=1)
            self._drops = not bool(self._used.all())
            self._table = self.packed.weight[self._used].contiguous()
        whole, used = features, self._used
        if self._drops or self.reads_bfloat16:
            features = self._cache.get("words", lambda: self._read(whole.keep_columns(used)), whole)
        return aggregate_matrix(features, self._table, self.shift)

    def _read(self, words: CsrMatrix) -> CsrMatrix:
        return replace(words, value=rounded(words.value)) if self.reads_bfloat16 else words


def matrix_of(operator: object) -> CsrMatrix | None:
    """The matrix behind an operator, None for one that only knows how to multiply."""
    if isinstance(operator, CsrMatrix):
        return operator
    return operator.matrix if type(operator) is NormalizedAdjacency else None


def aggregate(operator: Any, features: Tensor) -> Tensor:  # noqa: ANN401  (whatever multiplies)
    """operator @ features."""
    matrix = matrix_of(operator)
    return operator @ features if matrix is None else aggregate_matrix(matrix, features)


def plus_own_row(operator: CsrMatrix) -> CsrMatrix:
    """The operator plus the identity, made once per operator."""
    return STRUCTURE.get("own row", lambda: with_own_row(operator), operator)


def require_numbers(*tensors: Tensor | None) -> None:
    """Raise `SettingError` for weights that a kernel cannot take over: lazy ones, or of another kind of tensor."""
    for tensor in tensors:
        if isinstance(tensor, nn.UninitializedParameter):
            raise SettingError("its weights have no shape yet; call the module once before")
        if tensor is not None and (type(tensor) not in (Tensor, nn.Parameter) or not tensor.is_floating_point()):
            raise SettingError(f"its weights are a {type(tensor).__name__} of {tensor.dtype}")
