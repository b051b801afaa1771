"""How layers of PyTorch and of this library are lowered."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from gnn.errors import SettingError
from gnn.layers import CsrMatrix, GraphConvolution, SplineConvolution
from gnn.layers.rules import lower
from gnn.models.gin import GinConvolution
from gnn.models.ness import Ness, NessInputs
from gnn.runtime.graph_cache import STRUCTURE
from gnn.runtime.kernels import (
    Affine,
    Kernel,
    Product,
    ScaleShift,
    aggregate,
    plus_own_row,
    product_of,
    require_numbers,
)


@lower.register(nn.Linear, "torch_geometric.nn.dense.linear.Linear")
def _linear(layer: nn.Linear) -> Affine:
    if not hasattr(layer, "weight"):
        raise SettingError("it has no weight of its own, whoever calls it has")
    require_numbers(layer.weight, layer.bias)
    return Affine(layer.weight.t(), layer.bias)


@lower.register(nn.BatchNorm1d)
def _batch_norm(layer: nn.BatchNorm1d) -> ScaleShift:
    mean, variance = layer.running_mean, layer.running_var
    if mean is None or variance is None:
        raise SettingError("it keeps no running statistics, so every input has its own")
    scale = (variance + layer.eps).rsqrt()
    shift = -mean * scale
    if layer.affine:
        scale, shift = layer.weight * scale, layer.bias + layer.weight * shift
    return ScaleShift(scale, shift, layer.forward)


@lower.register(GraphConvolution)
def _graph_convolution(layer: GraphConvolution) -> Product:
    return Product(product_of(layer.lin, bias=False).weight, layer.bias)


class OwnRowAndNeighbours(Kernel):
    """GIN's sum over neighbours and the node itself as one embedding bag, then what it is given."""

    name = "one embedding bag, then its own layers"
    entered = True

    def __init__(self, transform: nn.Module) -> None:
        super().__init__()
        self.nn = transform

    def forward(self, features: Tensor, neighbours: CsrMatrix) -> Tensor:
        """Add up, then transform."""
        return self.nn(aggregate(plus_own_row(neighbours), features))


@lower.register(GinConvolution)
def _gin_convolution(layer: GinConvolution) -> OwnRowAndNeighbours:
    return OwnRowAndNeighbours(layer.nn)


class SplineProduct(Product):
    """A spline convolution as a product with its stacked weights; the operator of edges is built once per graph."""

    def __init__(self, layer: SplineConvolution) -> None:
        tables = len(layer.weight) + (layer.lin is not None)
        super().__init__(layer.stacked_weight(), layer.bias, tables=tables)
        self._operator: Callable[..., CsrMatrix] = layer.operator
        self._layer = (*layer.grid, *layer.is_open, layer.degree, layer.aggregation, tables)

    def forward(self, features: Any, operator: Any, pseudo: Tensor | None = None) -> Tensor:  # noqa: ANN401
        """Convolve along edges with pseudo-coordinates, or with the operator that was built of them."""
        edges = operator
        if isinstance(edges, CsrMatrix):
            return Product.forward(self, features, edges)
        if pseudo is None:
            raise SettingError("a spline convolution along edges needs their pseudo-coordinates; give them as well")
        nodes = features.shape[0]
        key = ("spline", *self._layer, nodes)
        return super().forward(
            features, STRUCTURE.get(key, lambda: self._operator(edges, pseudo, nodes), edges, pseudo)
        )


@lower.register(SplineConvolution)
def _spline_convolution(layer: SplineConvolution) -> SplineProduct:
    if layer.aggregation == "max":
        raise SettingError("a maximum over edges is no product")
    return SplineProduct(layer)


class NessEncoder(Kernel):
    """NESS, whose encoder is no layer but reads the weights itself, as one product with the mean adjacency."""

    name = "two embedding bags"

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.product = Product(weight, bias)
        self._product = self.product.forward

    def forward(self, inputs: NessInputs) -> Tensor:
        """Embed all nodes."""
        return self._product(inputs.features, inputs.mean_adjacency)


@lower.register(Ness)
def _ness(model: Ness) -> NessEncoder:
    return NessEncoder(model.lin.weight.t(), model.lin.bias)
