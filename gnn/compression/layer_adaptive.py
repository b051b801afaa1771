"""Layer-adaptive magnitude pruning (LAMP): one threshold for scores that weigh a weight against its own layer."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from gnn.compression.context import Compressed, Context
from gnn.compression.masks import Masks
from gnn.compression.prunable import SparsitySettings, prunable_parameters
from gnn.compression.registry import register_method


@dataclass(frozen=True)
class LayerAdaptive(SparsitySettings):
    """Share of all prunable weights to remove, in [0, 1); how much of it each layer loses follows from its weights."""

    method: ClassVar[str] = "layer-adaptive"


@register_method(LayerAdaptive)
def prune_layer_adaptively(model: nn.Module, settings: LayerAdaptive, context: Context) -> Compressed:
    """Zero the weights with the smallest LAMP scores over the whole model, with one threshold for all layers.

    As many weights go as in `prune_globally`, but every layer keeps at least its largest. Of equal scores the one of
    the earlier layer, and of the earlier place in it, goes first.

    Source: Lee et al., "Layer-adaptive Sparsity for the Magnitude-based Pruning", arXiv 2010.07611, Section 3.
    """
    weights = {name: getattr(module, parameter) for name, module, parameter in prunable_parameters(model)}
    shapes = {name: weight.shape for name, weight in weights.items()}
    scores = torch.cat([lamp_scores(weight).flatten() for weight in weights.values()])
    removed = min(round(settings.sparsity * len(scores)), len(scores) - len(weights))
    kept = torch.ones(len(scores), dtype=torch.bool)
    kept[scores.argsort(stable=True)[:removed]] = False
    parts = kept.split([shape.numel() for shape in shapes.values()])
    masks = Masks(
        {
            name: part.view(shape).to(weights[name].device)
            for (name, shape), part in zip(shapes.items(), parts, strict=True)
        }
    )
    masks.apply(model)
    return Compressed(model, masks)


def lamp_scores(weight: Tensor) -> Tensor:
    """Score every weight of a layer by its share of the squares that are left when all smaller ones are removed.

    score(u) = W[u]^2 / sum over v >= u of W[v]^2, with the weights in ascending order of magnitude, equal ones in their
    order in the tensor. A zero scores 0, the last weight of the order 1, even in a layer of zeros.

    Source: arXiv 2010.07611, equation 4.

    Shapes: that of the weight, in FP64 on the CPU, where sums have one order.
    """
    square = weight.detach().cpu().double().flatten().square()
    order = square.argsort(stable=True)
    left = square[order].flip(0).cumsum(0).flip(0)
    scores = torch.zeros_like(square)
    scores[order] = torch.where(left > 0, square[order] / left, 0.0)
    scores[order[-1:]] = 1.0
    return scores.view(weight.shape)
