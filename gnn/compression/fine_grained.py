"""Fine-grained pruning: the same share removed layer by layer."""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn
from torch.nn.utils import prune

from gnn.compression.context import Compressed, Context
from gnn.compression.masks import harden_masks
from gnn.compression.prunable import SparsitySettings, pruning_targets
from gnn.compression.registry import register_method


@dataclass(frozen=True)
class FineGrained(SparsitySettings):
    """Share of the weights of every prunable tensor to remove, in [0, 1)."""

    method: ClassVar[str] = "fine-grained"


@register_method(FineGrained)
def prune_fine_grained(model: nn.Module, settings: FineGrained, context: Context) -> Compressed:
    """Zero the same share of the smallest weights in every layer, with a threshold of its own for each.

    Source: the paper, section 2.4 ("fine-grained Magnitude-Based Pruning"); torch.nn.utils.prune.
    """
    targets = pruning_targets(model)
    for _, module, parameter in targets:
        prune.l1_unstructured(module, parameter, amount=float(settings.sparsity))
    return Compressed(model, harden_masks(model, targets))
