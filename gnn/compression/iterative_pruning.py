"""Pruning in more than one step: what was removed stays removed, and the target is met to the weight."""

import torch
from torch import nn
from torch.nn.utils import prune

from gnn.compression.masks import Masks, harden_masks
from gnn.compression.prunable import prunable_parameters


def prune_further(model: nn.Module, masks: Masks, sparsity: float) -> Masks:
    """Zero the smallest of the weights that `masks` keep until `sparsity` of all prunable weights are removed.

    One threshold for all layers, as in `prune_globally`, which this is when nothing was removed before. A kept weight
    that happens to be zero is not taken for a removed one, so every step removes what it has to.
    """
    targets = prunable_parameters(model)
    kept = 0
    for name, module, parameter in targets:
        mask = masks.kept.get(name, torch.ones_like(getattr(module, parameter), dtype=torch.bool))
        prune.custom_from_mask(module, parameter, mask)
        kept += int(mask.sum())
    weights = sum(getattr(module, parameter).numel() for _, module, parameter in targets)
    prune.global_unstructured(
        [(module, parameter) for _, module, parameter in targets],
        pruning_method=prune.L1Unstructured,
        amount=round(sparsity * weights) - (weights - kept),
    )
    return harden_masks(model, targets)
