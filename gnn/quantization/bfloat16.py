"""Products that read bfloat16 and add up in FP32, as processors with such an instruction compute them."""

from dataclasses import dataclass
from typing import TypeVar

from torch import Tensor, nn

from gnn.layers.rules import quantized
from gnn.native import rounded
from gnn.quantization.product import Product
from gnn.quantization.quantized_model import taken_weights, weights_in_fp32
from gnn.quantization.scheme import Site

Model = TypeVar("Model", bound=nn.Module)
BITS = 16


class Bfloat16Rounding(nn.Module):
    """What stands at a place where numbers are bfloat16."""

    weight_bits = bit_width = BITS

    def forward(self, values: Tensor) -> Tensor:
        """The numbers to 8 significant bits, in the type that they had."""
        return rounded(values)


@dataclass(frozen=True)
class Bfloat16Scheme:
    """Weights and the inputs of products in bfloat16; products give FP32, and so do sums."""

    sends_itself: bool = False

    def for_weights(self, weight: Tensor, output_axis: int) -> nn.Module:  # noqa: ARG002
        """Every weight by itself."""
        return Bfloat16Rounding()

    def for_site(self, site: Site) -> nn.Module | None:
        """The inputs of products alone."""
        return Bfloat16Rounding() if site.place == "inputs" else None


def bfloat16_weights(model: nn.Module) -> tuple[str, ...]:
    """The names of the weights whose products read bfloat16."""
    found = []
    paths = {id(module): path for path, module in model.named_modules()}
    for layer in model.modules():
        for part in layer.children():
            if isinstance(part, Product) and isinstance(part.inputs, Bfloat16Rounding):
                owners = [(paths[id(owner)], name) for owner, name in taken_weights(layer, part)]
                found += [f"{path}.{name}" if path else name for path, name in owners]
    return tuple(dict.fromkeys(found))


def left_in_fp32(model: nn.Module) -> dict[str, str]:
    """Why layers of a model in bfloat16 compute in FP32."""
    left = {name.rpartition(".")[0] for name in set(weights_in_fp32(model)).difference(bfloat16_weights(model))}
    layers = dict(model.named_modules())
    return {path: quantized.reason(layers[path]) for path in sorted(left)}
