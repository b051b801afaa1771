"""Input features that a model does without, dropped from the matrix before the model sees it."""

import torch
from torch import Tensor

from gnn.errors import SettingError
from gnn.layers import CsrMatrix


def require_kept_features(kept_features: int | None, in_channels: int) -> None:
    """Raise `SettingError` unless that many of the input features can be kept; None keeps all."""
    if kept_features is not None and not (isinstance(kept_features, int) and 1 <= kept_features <= in_channels):
        raise SettingError(
            f"kept_features {kept_features!r} must be a whole number from 1 to in_channels {in_channels}, or None for "
            "all of them"
        )


def new_feature_mask(kept_features: int | None, in_channels: int) -> Tensor | None:
    """A uint8 vector [in_channels] with a 1 for each kept feature, None when all are kept.

    A fresh model keeps the first features; which ones a pruned model keeps comes with its state.
    """
    if kept_features is None:
        return None
    return (torch.arange(in_channels) < kept_features).to(torch.uint8)


def keep_features(features: CsrMatrix, mask: Tensor | None, width: int) -> CsrMatrix:
    """The columns that a mask from `new_feature_mask` names, all without one.

    Shapes: features [nodes, in_channels] -> [nodes, width]. Raises `SettingError` when the mask names another number.
    """
    if mask is None:
        return features
    if int(mask.count_nonzero()) != width or len(mask) != features.shape[1]:
        raise SettingError(
            f"the model keeps {int(mask.count_nonzero())} of {len(mask)} input features but was built for {width} of "
            f"{features.shape[1]}; load the state that belongs to its settings"
        )
    return features.keep_columns(mask.bool())
