"""Global magnitude pruning, the paper's "global unstructured" method."""

from dataclasses import dataclass
from typing import ClassVar

from torch import nn
from torch.nn.utils import prune

from gnn.compression.context import Compressed, Context
from gnn.compression.masks import harden_masks
from gnn.compression.prunable import SparsitySettings, pruning_targets
from gnn.compression.registry import register_method


@dataclass(frozen=True)
class GlobalMagnitude(SparsitySettings):
    """Share of all prunable weights to remove, in [0, 1)."""

    method: ClassVar[str] = "global"


@register_method(GlobalMagnitude)
def prune_globally(model: nn.Module, settings: GlobalMagnitude, context: Context) -> Compressed:
    """Zero the smallest weights in magnitude over the whole model, with one threshold for all layers.

    Source: the paper, section 2.4 ("Global Unstructured Pruning"); torch.nn.utils.prune.
    """
    targets = pruning_targets(model)
    prune.global_unstructured(
        [(module, parameter) for _, module, parameter in targets],
        pruning_method=prune.L1Unstructured,
        amount=float(settings.sparsity),
    )
    return Compressed(model, harden_masks(model, targets))
