"""Input transforms without parameters, for features whose range is far from 1."""

from collections.abc import Callable

import torch
from torch import Tensor

from gnn.errors import SettingError

FEATURE_SCALINGS: dict[str, Callable[[Tensor], Tensor]] = {"none": lambda features: features, "asinh": torch.asinh}


def scale_features(features: Tensor, scaling: str) -> Tensor:
    """Features of the same shape, as they are ("none") or asinh(x) = ln(x + sqrt(x^2 + 1)) of each one ("asinh").

    asinh is about x near 0 and about sign(x) ln(2 |x|) far from it, for both signs and without a statistic of the data:
    the attribute of PROTEINS, -538 to 798, becomes -7.0 to 7.4, and one-hot entries become 0 and 0.88.
    """
    return FEATURE_SCALINGS[scaling](features)


def require_feature_scaling(scaling: str) -> None:
    """Raise `SettingError` for a scaling that does not exist."""
    if scaling not in FEATURE_SCALINGS:
        raise SettingError(f"unknown feature_scaling {scaling!r}; valid are: {', '.join(sorted(FEATURE_SCALINGS))}")
