"""Quantized counterparts of PyG's layers, made for whatever convolution a model has."""

from functools import lru_cache
from typing import Any, cast

from torch import Tensor, nn

from gnn.quantization.product import Product
from gnn.quantization.scheme import Scheme, Site, quantizer_at
from gnn.quantization.tensor_quantizer import TensorQuantizer


class QuantizedPygLinear(nn.Module):
    """What PyG's `Linear` and a linear layer of torch have in common, with quantizers; PyG's is no `nn.Linear`."""

    product: Product
    weight: Tensor
    bias: Tensor | None

    def add_quantizers(self, scheme: Scheme, *, of_nodes: bool = False) -> None:
        """What makes a linear layer of the same parameters a quantized one."""
        out_channels, in_channels = self.weight.shape
        self.product = Product(scheme, in_channels, out_channels, of_nodes=of_nodes)

    def _save_to_state_dict(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401
        # PyG's own would ask for the weight and store it a second time, quantized.
        nn.Module._save_to_state_dict(self, *arguments, **named)

    def _load_from_state_dict(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401
        nn.Module._load_from_state_dict(self, *arguments, **named)

    def forward(self, x: Tensor) -> Tensor:
        """Transform rows [rows, in_channels] -> [rows, out_channels]."""
        return self.product(x, lambda: self.weight.t(), self.bias)  # noqa: PLW0108  (integers have no weight to ask)


class QuantizedMessagePassing(nn.Module):
    """Messages, sums and updates of a PyG convolution on grids.

    Here a message is what PyG's `message` gives for an edge, so that attention and edge weights are in it. Source:
    Degree-Quant, dq/baseline_quant.py, MessagePassingQuant.
    """

    messages: nn.Module
    aggregates: nn.Module
    updates: nn.Module

    def add_quantizers(self, scheme: Scheme) -> None:
        """What makes a convolution of the same parameters a quantized one."""
        for place in ("messages", "aggregates", "updates"):
            self.add_module(place, quantizer_at(scheme, Site(place, of_nodes=True)))

    def _set_jittable_templates(self, *_arguments: Any, **_named: Any) -> None:  # noqa: ANN401
        # A copy would have PyG write its own `propagate` into this class, over the one below.
        pass

    def propagate(self, edge_index: Tensor, *arguments: Any, **named: Any) -> Tensor:  # noqa: ANN401
        """PyG's propagation, with the sources known to the quantizer of messages."""
        self._source = edge_index[0]
        try:
            return cast(Any, super()).propagate(edge_index, *arguments, **named)
        finally:
            del self._source

    def message(self, *arguments: Any, **named: Any) -> Tensor:  # noqa: ANN401
        """PyG's messages, [edges, ...], quantized."""
        messages = cast(Any, super()).message(*arguments, **named)
        if isinstance(self.messages, TensorQuantizer):
            return self.messages(messages, node_of_row=self._source)
        return self.messages(messages)

    def aggregate(self, *arguments: Any, **named: Any) -> Tensor:  # noqa: ANN401
        """PyG's sums, [nodes, ...], quantized."""
        return self.aggregates(cast(Any, super()).aggregate(*arguments, **named))

    def forward(self, *arguments: Any, **named: Any) -> Tensor:  # noqa: ANN401
        """PyG's convolution, quantized."""
        return self.updates(super().forward(*arguments, **named))  # pyright: ignore[reportAttributeAccessIssue]


@lru_cache
def pyg_counterpart(layer: type[nn.Module]) -> type[nn.Module] | None:
    """The quantized class of a layer from PyG, None for anything else."""
    # PyG takes seconds to import; who has a layer of it has it imported.
    ancestors = {f"{kind.__module__}.{kind.__qualname__}" for kind in layer.__mro__}
    if "torch_geometric.nn.dense.linear.Linear" in ancestors:
        return type(f"Quantized{layer.__name__}", (QuantizedPygLinear, layer), {})
    if "torch_geometric.nn.conv.message_passing.MessagePassing" in ancestors:
        return type(f"Quantized{layer.__name__}", (QuantizedMessagePassing, layer), {})
    return None
