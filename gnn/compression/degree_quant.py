"""Degree-Quant: quantization-aware training that spares nodes with many incoming edges now and then."""

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from gnn.compression.context import Compressed, Context, TrainingContext
from gnn.compression.quantized_training import QuantizedTraining, fp32_layers, train_quantized
from gnn.compression.range_settings import RangeSettings
from gnn.compression.registry import register_method
from gnn.errors import SettingError
from gnn.models import GraphModel
from gnn.models.walkpooling import WalkPoolingNet
from gnn.quantization.degree_protection import DegreeProtection
from gnn.quantization.description import Quantization
from gnn.tasks import GraphBatch, LinkPrediction, NodeClassification, Task

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


@register_method(DegreeQuant)
def train_protected(model: GraphModel, settings: DegreeQuant, context: Context) -> Compressed:
    """Train as `qat` does, but leave a random part of the nodes in FP32 in every step; in evaluation there is none.

    Source: Tailor, Fernandez-Marques and Lane, arXiv 2008.05000; Degree-Quant, dq/multi_quant.py, and
    runall_reddit_binary.sh for the numbers. As there, a GIN's own linear layers are not protected.
    """
    training = context.training
    quantization = Quantization("range", settings.bit_width, fp32_layers(training.model_name))
    what = {"method": DegreeQuant.method, **asdict(settings), "protection": settings.protection}
    how = QuantizedTraining(lambda: _structure(training, settings, quantization), quantization)
    return train_quantized(training, how, what)


def _structure(training: TrainingContext, settings: DegreeQuant, quantization: Quantization) -> GraphModel:
    protection = DegreeProtection(*settings.protection, in_degree=in_degree(training.task))
    model = quantization.apply(training.initial(), settings.quantizer, protection)
    if isinstance(model, WalkPoolingNet):
        raise SettingError("WalkPooling cuts out a graph for every pair, so a node has many degrees; use qat instead")
    model.register_forward_pre_hook(DrawBeforePass(protection))
    return model


def in_degree(task: Task) -> Tensor | None:
    """In-degrees of the nodes of a task's one graph, None for a task with many graphs."""
    if isinstance(task, NodeClassification):
        return torch.bincount(task.graph.edge_index[1], minlength=task.graph.features.shape[0])
    if isinstance(task, LinkPrediction):
        return torch.bincount(task.edge_index[1], minlength=task.nodes)
    return None


class DrawBeforePass:
    """A hook for the model's forward pass that draws who is protected; unlike a function it is copied with the model.

    It draws for the batch of graphs that the model is given or, for any other input, for the graph of the protection,
    and in training only.
    """

    def __init__(self, protection: DegreeProtection) -> None:
        self.protection = protection

    def __call__(self, module: nn.Module, arguments: tuple[Any, ...]) -> None:
        """Draw before a pass, as torch calls a forward pre-hook."""
        if not module.training:
            return
        if isinstance(arguments[0], GraphBatch):
            batch = arguments[0]
            self.protection.draw(batch.adjacency.row_pointer.diff(), batch.node_pointer)
        else:
            self.protection.draw_again()
