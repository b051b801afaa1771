"""In how many bits an integer model holds its weights, and those that its products read."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gnn.layers import CsrMatrix
from gnn.models import on_task, unwrapped_model
from gnn.quantization.bfloat16 import BITS, Bfloat16Rounding, bfloat16_weights
from gnn.quantization.integer_layers import IntegerProduct
from gnn.quantization.integer_model import integer_weights
from gnn.quantization.learned_quantizer import NodeQuantizer
from gnn.quantization.product import Product
from gnn.quantization.quantized_model import weights_in_fp32
from gnn.tasks import Task

FULL_PRECISION = 32
Histogram = dict[str, dict[str, int]]


@dataclass(frozen=True)
class BitWidths:
    """Mean bits of a weight, of a number that a product reads in one pass over the test part, and of both together.

    `histogram` counts nodes by in-degree and bits where nodes have bits of their own, over all products; its keys are
    texts, as in JSON.
    """

    weights: float
    activations: float
    mean: float
    histogram: Histogram | None


def measured_bits(model: nn.Module, plain: nn.Module, task: Task) -> BitWidths:
    """The bits of a model on integers or in bfloat16; `plain` is the same model in FP32.

    A number that is never negative does without its sign, which counts as no bit. Weights and inputs of layers that
    stayed in FP32 count 32 bits.
    """
    model = unwrapped_model(model)
    held = {name: weight.bit_width for name, weight in integer_weights(model).items()}
    held |= dict.fromkeys(bfloat16_weights(model), BITS)
    sizes = {name: parameter.numel() for name, parameter in unwrapped_model(plain).named_parameters()}
    of_weights = sum(count * held.get(name, FULL_PRECISION) for name, count in sizes.items())
    watch = _Watch(model, task.in_degree("test"))
    watch.run(task)
    numbers, weights = max(1, watch.numbers), sum(sizes.values())
    return BitWidths(
        weights=of_weights / weights,
        activations=watch.bits / numbers,
        mean=(of_weights + watch.bits) / (weights + numbers),
        histogram=watch.histogram or None,
    )


class _Watch:
    """Counts what products, and layers whose weights stayed in FP32, read during one pass."""

    def __init__(self, model: Any, degrees: Tensor | None) -> None:  # noqa: ANN401
        self.model, self.degrees = model, degrees
        self.bits, self.numbers = 0.0, 0
        self.histogram: Histogram = {}

    @torch.no_grad()
    def run(self, task: Task) -> None:
        left = set(weights_in_fp32(self.model)).difference(bfloat16_weights(self.model))
        in_fp32 = {name.rpartition(".")[0] for name in left}
        hooks = [
            module.register_forward_hook(self._look(name))
            for name, module in self.model.named_modules()
            if _reads_few_bits(module) or name in in_fp32
        ]
        self.model.eval()
        asked = on_task(self.model, task)
        asked.outputs(task, asked.prepare(task), "test")
        for hook in hooks:
            hook.remove()

    def _look(self, name: str) -> Any:  # noqa: ANN401
        layer = name.rpartition(".")[0]
        unsigned = int(layer in self.model.quantization.nonnegative)

        def look(module: nn.Module, inputs: tuple[Any, ...], _output: object) -> None:
            values = inputs[0].value[:, None] if isinstance(inputs[0], CsrMatrix) else inputs[0]
            if not isinstance(values, Tensor):
                return
            rows, channels = len(values), values[:1].numel()
            bits = _bits_of_rows(module, rows) - unsigned
            self.bits += float(bits.sum()) * channels
            self.numbers += rows * channels
            of_nodes = isinstance(getattr(module, "inputs", None), NodeQuantizer)
            if of_nodes and self.degrees is not None and len(self.degrees) == rows:
                self._count(bits)

        return look

    def _count(self, bits: Tensor) -> None:
        assert self.degrees is not None  # noqa: S101  (its caller looked)
        pairs = Counter(zip(self.degrees.tolist(), bits.int().tolist(), strict=True))
        for (degree, width), nodes in sorted(pairs.items()):
            of_degree = self.histogram.setdefault(str(degree), {})
            of_degree[str(width)] = of_degree.get(str(width), 0) + nodes


def _reads_few_bits(module: nn.Module) -> bool:
    of_bfloat16 = isinstance(module, Product) and isinstance(module.inputs, Bfloat16Rounding)
    return of_bfloat16 or isinstance(module, IntegerProduct)


def _bits_of_rows(module: nn.Module, rows: int) -> Tensor:
    """Bits of the numbers in every row that a module reads."""
    inputs = getattr(module, "inputs", None)
    if isinstance(inputs, NodeQuantizer):
        return inputs.bit.detach().flatten()[inputs.last_group]
    return torch.full((rows,), float(getattr(inputs, "bit_width", FULL_PRECISION)))
