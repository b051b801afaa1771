"""Numbers that are distributed as they were measured on a real dataset."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Quantiles:
    """A distribution by some of its quantiles, straight lines between them; `shares` ascend from 0 to 1."""

    shares: Sequence[float]
    values: Sequence[float]

    def at(self, share: Tensor) -> Tensor:
        """The quantile of each share in [0, 1], float64 and of the same shape."""
        return torch.from_numpy(np.interp(share.double().numpy(), self.shares, self.values))

    def spread(self, count: int, generator: torch.Generator) -> Tensor:
        """Evenly spaced quantiles in random order, [count], so that a heavy tail does not change with the seed."""
        order = torch.randperm(count, generator=generator)
        return self.at((order.double() + 0.5) / max(count, 1))
