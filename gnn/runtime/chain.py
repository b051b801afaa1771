"""Several products as one kernel."""

from collections.abc import Callable, Sequence
from typing import Any, cast

from torch import Tensor, nn

from gnn.layers import CsrMatrix
from gnn.native import Activation, ProductChain
from gnn.runtime.kernels import Affine, Kernel, Product, matrix_of


class Chain(Kernel):
    """Products one after the other, the first of which may be of what an operator sums up."""

    name = "aggregation and products in one"

    def __init__(self, parts: Sequence[Affine | Product]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.products = list(parts)
        self.activation = parts[-1].activation
        self._chain = self._made()

    def _made(self) -> ProductChain:
        return ProductChain([part.packed for part in self.products], [part.activation for part in self.products])

    def forward(self, features: Tensor | CsrMatrix, operator: Any = None) -> Tensor:  # noqa: ANN401
        """Sum up where there is an operator, then transform."""
        matrix = operator if type(operator) is CsrMatrix else matrix_of(operator)
        if isinstance(features, CsrMatrix) or features.dim() != 2 or (matrix is None and operator is not None):
            return self._apart(features, operator)
        bases = [
            part.bias if isinstance(part, Affine) else part._base(cast(CsrMatrix, matrix)) for part in self.products
        ]
        return self._chain(features, matrix, bases)

    @property
    def ways(self) -> set[str]:
        """How the chain, or its products apart, were computed until now."""
        return self._chain.ways

    def _apart(self, features: Any, operator: Any) -> Tensor:  # noqa: ANN401
        first, *others = self.products
        if isinstance(first, Product):
            out = first(features, operator)
        else:
            out = first(features if operator is None else operator @ features)
        for part in others:
            out = part(out)
        return out

    def activated(self, activation: Activation) -> "Chain | None":
        """The same with an activation of what it gives."""
        last = self.products[-1].activated(activation)
        return None if last is None else Chain([*self.products[:-1], cast(Affine | Product, last)])

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Kernel":
        moved = super()._apply(fn, recurse)
        self._chain = self._made()
        return moved
