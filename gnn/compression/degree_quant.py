"""Degree-Quant: quantization-aware training that spares nodes with many incoming edges now and then."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from gnn.compression.context import Compressed, Context
from gnn.compression.quantized_training import QuantizedTraining, by_range, train_quantized
from gnn.compression.range_settings import RangeSettings
from gnn.compression.registry import register_method
from gnn.quantization.degree_protection import DegreeProtection
from gnn.tasks import GraphBatch

# Protection from the fewest to the most incoming edges; fewer bits need more of it.
PROTECTION = {8: (0.0, 0.1), 4: (0.1, 0.2)}


@dataclass(frozen=True)
class DegreeQuant(RangeSettings):
    """Bits of a code, how gradients pass and how ranges are tracked; the protection follows from the bits."""

    method: ClassVar[str] = "degree-quant"

    @property
    def protection(self) -> tuple[float, float]:
        """The probabilities of protection of the nodes with the fewest and with the most incoming edges."""
        return PROTECTION[8 if self.bit_width > 4 else 4]


def _structure(model: nn.Module, settings: DegreeQuant, context: Context) -> nn.Module:
    protection = DegreeProtection(*settings.protection, in_degree=context.training.task.in_degree())
    model = by_range(settings.bit_width, context).apply(model, settings.quantizer, protection)
    model.register_forward_pre_hook(DrawBeforePass(protection), with_kwargs=True)
    return model


def _check(model: nn.Module, settings: DegreeQuant, context: Context) -> None:
    by_range(settings.bit_width, context).to_integers(_structure(model, settings, context), structure_only=True)


@register_method(DegreeQuant, _check)
def train_protected(model: nn.Module, settings: DegreeQuant, context: Context) -> Compressed:
    """Train as `qat` does, but leave a random part of the nodes in FP32 in every step; in evaluation there is none.

    Source: Tailor, Fernandez-Marques and Lane, arXiv 2008.05000; Degree-Quant, dq/multi_quant.py, and
    runall_reddit_binary.sh for the numbers. As there, a GIN's own linear layers are not protected.
    """
    training, quantization = context.training, by_range(settings.bit_width, context)
    what = {"method": DegreeQuant.method, **asdict(settings), "protection": settings.protection}
    how = QuantizedTraining(lambda: _structure(training.initial(), settings, context), quantization)
    return train_quantized(training, how, what)


class DrawBeforePass:
    """A hook for the model's forward pass that draws who is protected; unlike a function it is copied with the model.

    It draws for the batch of graphs that the model is given, ours or PyG's, or for features [nodes, channels], an
    edge_index [2, edges] and the ascending numbers of the nodes' graphs [nodes] if they are given or, for any other
    input, for the graph of the protection, and in training only.
    """

    def __init__(self, protection: DegreeProtection) -> None:
        self.protection = protection

    def __call__(self, module: nn.Module, arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> None:
        """Draw before a pass, as torch calls a forward pre-hook."""
        if not module.training:
            return
        match (*arguments, *keywords.values()):
            case (GraphBatch() as batch, *_):
                self.protection.draw(batch.adjacency.row_pointer.diff(), batch.node_pointer)
            case (Tensor() as features, Tensor(dtype=torch.int64, shape=(2, _)) as edge_index, *others):
                graph = [o for o in others if isinstance(o, Tensor) and o.dtype == torch.int64 and o.dim() == 1]
                sizes = torch.bincount(graph[0]) if graph and len(graph[0]) == len(features) else None
                self._draw(edge_index, len(features), sizes)
            case (object(edge_index=Tensor() as edge_index, num_nodes=nodes) as data, *_):
                pointer = getattr(data, "ptr", None)
                self._draw(edge_index, nodes, None if pointer is None else pointer.diff())
            case _:
                self.protection.draw_again()

    def _draw(self, edge_index: Tensor, nodes: int, sizes: Tensor | None) -> None:
        pointer = None if sizes is None else torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
        self.protection.draw(torch.bincount(edge_index[1], minlength=nodes), pointer)
