"""Quantized counterparts of PyG's layers, made for whatever convolution a model has."""

from functools import lru_cache
from typing import Any, cast

import torch
from torch import Tensor, nn

from gnn.layers.rules import full_name, quantized
from gnn.quantization.layers import LinearQuantizers
from gnn.quantization.scheme import Scheme, Site, quantizer_at
from gnn.quantization.tensor_quantizer import TensorQuantizer

MESSAGE_PASSING = "torch_geometric.nn.conv.message_passing.MessagePassing"
# They give the same of whole numbers, scaled afterwards, as of the numbers themselves.
OF_WHOLE_NUMBERS = tuple(f"torch_geometric.nn.aggr.basic.{name}Aggregation" for name in ("Sum", "Mean", "Max", "Min"))


class QuantizedPygLinear(LinearQuantizers):
    """A linear layer of PyG, which is no `nn.Linear`, with quantizers."""

    def _save_to_state_dict(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401
        # PyG's own would ask for the weight and store it a second time, quantized.
        nn.Module._save_to_state_dict(self, *arguments, **named)

    def _load_from_state_dict(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401
        nn.Module._load_from_state_dict(self, *arguments, **named)


class QuantizedMessagePassing(nn.Module):
    """Messages, sums and updates of a PyG convolution on grids.

    Here a message is what PyG's `message` gives for an edge, so that attention and edge weights are in it. With
    `on_integers` messages are whole numbers until they are aggregated, where `left_in_fp32` sees no reason against it.
    Source: Degree-Quant, dq/baseline_quant.py, MessagePassingQuant.
    """

    messages: nn.Module
    aggregates: nn.Module
    updates: nn.Module
    on_integers: bool = False

    def add_quantizers(self, scheme: Scheme) -> None:
        """What makes a convolution of the same parameters a quantized one."""
        for place in ("messages", "aggregates", "updates"):
            self.add_module(place, quantizer_at(scheme, Site(place, of_nodes=True)))
        # Sparse adjacencies would have PyG multiply with them, past `message`.
        self.fuse = False

    @property
    def left_in_fp32(self) -> str | None:
        """Why quantized messages are aggregated in FP32, None where they are not."""
        kinds = (kind for kind in type(self).__mro__ if kind is not QuantizedMessagePassing)
        owner = next(kind for kind in kinds if "aggregate" in vars(kind))
        aggregation = type(cast(Any, self).aggr_module)
        if isinstance(self.messages, nn.Identity):
            return None
        if full_name(owner) != MESSAGE_PASSING:
            return f"{owner.__name__} aggregates messages in its own way, so they stay fake-quantized in FP32"
        if full_name(aggregation) not in OF_WHOLE_NUMBERS:
            return f"{aggregation.__name__} needs messages in FP32, where they stay fake-quantized"
        return None

    def _set_jittable_templates(self, *_arguments: Any, **_named: Any) -> None:  # noqa: ANN401
        # A copy would have PyG write its own `propagate` into this class, over the one below.
        pass

    def propagate(self, edge_index: Any, *arguments: Any, **named: Any) -> Tensor:  # noqa: ANN401
        """PyG's propagation, with the sources known to the quantizer of messages."""
        dense = isinstance(edge_index, Tensor) and edge_index.layout is torch.strided
        self._source = edge_index[0] if dense else None
        try:
            return cast(Any, super()).propagate(edge_index, *arguments, **named)
        finally:
            del self._source

    def message(self, *arguments: Any, **named: Any) -> Tensor:  # noqa: ANN401
        """PyG's messages, [edges, ...], quantized."""
        messages = cast(Any, super()).message(*arguments, **named)
        if not isinstance(self.messages, TensorQuantizer):
            return self.messages(messages)
        if self.on_integers and messages.numel():
            held = self.messages.codes(messages)
            return held.codes.sub_(held.zero_point)
        return self.messages(messages, node_of_row=self._source)

    def aggregate(self, *arguments: Any, **named: Any) -> Tensor:  # noqa: ANN401
        """PyG's sums, [nodes, ...], quantized."""
        sums = cast(Any, super()).aggregate(*arguments, **named)
        if self.on_integers and cast(TensorQuantizer, self.messages).seen:
            sums = sums * cast(TensorQuantizer, self.messages).grid.scale
        return self.aggregates(sums)

    def forward(self, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401
        """PyG's convolution, quantized; what it may give besides, such as attention, stays as it is."""
        out = cast(Any, super()).forward(*arguments, **named)
        return (self.updates(out[0]), *out[1:]) if isinstance(out, tuple) else self.updates(out)


@lru_cache
def _counterpart(quantizers: type[nn.Module], layer: type[nn.Module]) -> type[nn.Module]:
    return type(f"Quantized{layer.__name__}", (quantizers, layer), {})


@quantized.register("torch_geometric.nn.dense.linear.Linear")
def _linear(layer: nn.Module) -> type[nn.Module]:
    return _counterpart(QuantizedPygLinear, type(layer))


@quantized.register(MESSAGE_PASSING, any_subclass=True)
def _message_passing(layer: nn.Module) -> type[nn.Module]:
    return _counterpart(QuantizedMessagePassing, type(layer))
