"""The quantized counterparts of this library's layers: the same parameters, quantizers between the operations."""

from typing import Any, ClassVar

from torch import Tensor, nn

from gnn.errors import SettingError
from gnn.layers import CsrMatrix, GraphConvolution, NormalizedAdjacency, SplineConvolution
from gnn.layers.hgpsl_convolution import HgpSlConvolution
from gnn.layers.hgpsl_pool import HgpSlPool, PooledGraphs
from gnn.layers.rules import quantized
from gnn.models.gin import GinConvolution
from gnn.models.ness import Ness
from gnn.models.walkpooling import WalkPoolingNet
from gnn.quantization.degree_protection import DegreeProtection
from gnn.quantization.integer_layers import IntegerProduct
from gnn.quantization.product import Aggregation, Product
from gnn.quantization.scheme import Scheme, Site, quantizer_at


class LinearQuantizers(nn.Module):
    """Quantizers of inputs, weights and outputs for any linear layer with a weight [out_channels, in_channels].

    Whether rows are nodes is said by the layer that has it among its `node_layers`.
    Source: Degree-Quant, dq/linear_quantized.py.
    """

    product: Product
    weight: Tensor
    bias: Tensor | None

    def add_quantizers(self, scheme: Scheme, *, of_nodes: bool = False) -> None:
        """What makes a linear layer of the same parameters a quantized one."""
        out_channels, in_channels = self.weight.shape
        self.product = Product(scheme, in_channels, out_channels, of_nodes=of_nodes)

    def forward(self, input: Tensor | CsrMatrix) -> Tensor:  # noqa: A002  (named so by torch)
        """Transform rows [..., in_channels] -> [..., out_channels]."""
        return self._multiply(input, self.bias)

    def project(self, values: Tensor | CsrMatrix) -> Tensor:
        """The same without the bias."""
        return self._multiply(values, None)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        # Others may read the weight of a layer, too, when integers hold it.
        product = self.__dict__["_modules"].get("product")
        if name == "weight" and isinstance(product, IntegerProduct):
            return product.weights[0].dequantize()  # pyright: ignore[reportCallIssue]
        return super().__getattr__(name)

    def _multiply(self, values: Tensor | CsrMatrix, bias: Tensor | None) -> Tensor:
        if isinstance(values, CsrMatrix) or values.dim() == 2:
            return self.product(values, lambda: self.weight.t(), bias)  # noqa: PLW0108  (integers have no weight to ask)
        rows = self._multiply(values.reshape(-1, values.shape[-1]), bias)
        return rows.view(*values.shape[:-1], rows.shape[1])


class QuantizedLinear(LinearQuantizers, nn.Linear):
    """A linear layer of torch with quantizers."""


quantized.register(nn.Linear)(lambda _layer: QuantizedLinear)


class QuantizedGinConvolution(GinConvolution):
    """Messages, sums and updates of a graph isomorphism convolution on grids; its linear layers have their own.

    Where the scheme says that a node sends itself, its own term is its quantized message, too.
    Source: Degree-Quant, dq/baseline_quant.py, GINConvQuant, and dq/multi_quant.py, GINConvMultiQuant.
    """

    aggregation: Aggregation
    updates: nn.Module
    sends_itself: bool

    def add_quantizers(self, scheme: Scheme) -> None:
        """What makes a convolution of the same parameters a quantized one."""
        self.sends_itself = scheme.sends_itself
        first, last = self.nn[0].weight, self.nn[-1].weight
        self.aggregation = Aggregation(scheme, first.shape[1], norms=False)  # pyright: ignore
        self.updates = quantizer_at(scheme, Site("updates", last.shape[0], of_nodes=True))  # pyright: ignore

    def forward(self, features: Tensor, neighbours: CsrMatrix) -> Tensor:
        """Add up quantized neighbours, then transform."""
        sums, messages = self.aggregation(neighbours, features)
        return self.updates(self.nn((messages if self.sends_itself else features) + sums))


quantized.register(GinConvolution)(lambda _layer: QuantizedGinConvolution)


class QuantizedGraphConvolution(GraphConvolution):
    """A graph convolution with quantized inputs, weights, features, norms, messages, sums and updates.

    Source: Degree-Quant, dq/baseline_quant.py, GCNConvQuant, and dq/multi_quant.py, GCNConvMultiQuant.
    """

    node_layers: ClassVar[tuple[str, ...]] = ("lin",)
    aggregation: Aggregation
    updates: nn.Module

    def add_quantizers(self, scheme: Scheme) -> None:
        """What makes a convolution of the same parameters a quantized one."""
        channels = self.lin.weight.shape[0]
        self.aggregation = Aggregation(scheme, channels)
        self.updates = quantizer_at(scheme, Site("updates", channels, of_nodes=True))

    def forward(self, features: Tensor | CsrMatrix, adjacency: NormalizedAdjacency | CsrMatrix) -> Tensor:
        """Project, then aggregate."""
        aggregated, _ = self.aggregation(adjacency, self.lin(features))
        return self.updates(aggregated if self.bias is None else aggregated + self.bias)


quantized.register(GraphConvolution)(lambda _layer: QuantizedGraphConvolution)


class QuantizedSplineConvolution(SplineConvolution):
    """A spline convolution with the same quantizers; the basis stands where a graph convolution has its norms.

    Its `aggregation` is a name already: that of the convolution it stands for.
    """

    product: Product
    neighbour_sum: Aggregation
    updates: nn.Module

    def add_quantizers(self, scheme: Scheme) -> None:
        """What makes a convolution of the same parameters a quantized one."""
        _, in_channels, out_channels = self.weight.shape
        weights = ("weight",) if self.lin is None else ("weight", "lin.weight")
        self.product = Product(scheme, in_channels, out_channels, of_nodes=True, weights=weights)
        self.neighbour_sum = Aggregation(scheme, out_channels)
        self.updates = quantizer_at(scheme, Site("updates", out_channels, of_nodes=True))

    def propagate(self, features: Tensor | CsrMatrix, operator: CsrMatrix) -> Tensor:
        """Convolve features [nodes, in_channels] with an operator built before -> [nodes, out_channels]."""
        projected = self.product(features, self.stacked_weight)
        aggregated, _ = self.neighbour_sum(operator, projected.reshape(-1, self.out_channels))
        return self.updates(aggregated if self.bias is None else aggregated + self.bias)


quantized.register(SplineConvolution)(lambda _layer: QuantizedSplineConvolution)


class QuantizedHgpSlConvolution(HgpSlConvolution):
    """HGP-SL's convolution with the same quantizers; the learned edge weights are its norms."""

    product: Product
    aggregation: Aggregation
    updates: nn.Module

    def add_quantizers(self, scheme: Scheme) -> None:
        """What makes a convolution of the same parameters a quantized one."""
        in_channels, out_channels = self.weight.shape
        self.product = Product(scheme, in_channels, out_channels, of_nodes=True)
        self.aggregation = Aggregation(scheme, out_channels)
        self.updates = quantizer_at(scheme, Site("updates", out_channels, of_nodes=True))

    def forward(self, features: Tensor, adjacency: CsrMatrix) -> Tensor:
        """Project, then aggregate."""
        projected = self.product(features, lambda: self.weight)
        return self.updates(self.aggregation(adjacency, projected)[0] + self.bias)


quantized.register(HgpSlConvolution)(lambda _layer: QuantizedHgpSlConvolution)


class QuantizedHgpSlPool(HgpSlPool):
    """HGP-SL's pooling with a quantized attention vector and quantized features under it."""

    product: Product
    protection: DegreeProtection | None

    def add_quantizers(self, scheme: Scheme) -> None:
        """What makes a pooling of the same parameters a quantized one."""
        self.product = Product(scheme, self.att.shape[1] // 2, 2, of_nodes=False, weights=("att",))
        self.protection = getattr(scheme, "protection", None)

    def forward(self, features: Tensor, adjacency: CsrMatrix, node_pointer: Tensor) -> PooledGraphs:
        """Pool a batch of graphs; the nodes that stay keep their protection."""
        pooled = super().forward(features, adjacency, node_pointer)
        if self.training and self.protection is not None:
            self.protection.narrow(pooled.chosen)
        return pooled

    def attend(self, features: Tensor) -> Tensor:
        """What a node adds to the attention of its edges as source and as target, [nodes, 2]."""
        return self.product(features, lambda: self.att.view(2, -1).t())


quantized.register(HgpSlPool)(lambda _layer: QuantizedHgpSlPool)


class QuantizedNess(Ness):
    """NESS with a quantized encoder; the inner products of embeddings stay in FP32."""

    node_layers: ClassVar[tuple[str, ...]] = ("lin",)
    aggregation: Aggregation
    updates: nn.Module
    protection: DegreeProtection | None

    def add_quantizers(self, scheme: Scheme) -> None:
        """What makes a model of the same parameters a quantized one."""
        self.protection = getattr(scheme, "protection", None)
        channels = self.lin.weight.shape[0]
        self.aggregation = Aggregation(scheme, channels)
        self.updates = quantizer_at(scheme, Site("updates", channels, of_nodes=True))

    def propagate(self, features: CsrMatrix, adjacency: CsrMatrix) -> Tensor:
        """Encode with one adjacency, (rows, nodes) -> [rows, channels]."""
        if self.training and self.protection is not None:
            # In training it is not called through `forward`, where other models draw.
            self.protection.draw_again()
        projected = self.lin.project(features)  # pyright: ignore[reportCallIssue]
        return self.updates(self.aggregation(adjacency, projected)[0] + self.lin.bias)


quantized.register(Ness)(lambda _layer: QuantizedNess)


class QuantizedWalkPoolingNet(WalkPoolingNet):
    """WalkPooling whose embedding of words is quantized, too; random walks stay in FP32."""

    def add_quantizers(self, scheme: Scheme) -> None:
        """Nothing of its own: all of its quantizers are those of its layers, of which none can protect a node."""
        if getattr(scheme, "protection", None) is not None:
            raise SettingError(
                "WalkPooling cuts out a graph for every pair, so a node has many degrees; use qat instead"
            )

    def embed(self, features: CsrMatrix) -> Tensor:
        """Project the sparse features, [nodes, hidden_channels]."""
        return self.embedding(self.drop_words(features))


quantized.register(WalkPoolingNet)(lambda _layer: QuantizedWalkPoolingNet)
