"""Whether a fused form gives what the module's own forward gives."""

from typing import Any

import torch
from torch import Tensor

# Of the largest number: sums in another order, of which some are rounded to the next bfloat16 then.
TOLERANCE = {"fp32": 1e-5, "bf16": 1e-2}
# A number between two steps of 8 bits is moved by one where its sum is in another order, and some more after it.
MOVED, MOVED_SHARE = 5e-2, 0.1


def agree(own: Any, fused: Any, tolerance: float) -> bool:  # noqa: ANN401
    """Whether both are tensors of one shape, equal to a tolerance of the largest number."""
    return _comparable(own, fused) and bool(_close(own, fused, tolerance).all())


def agree_on_grids(own: Any, fused: Any) -> bool:  # noqa: ANN401
    """Whether both are equal as sums in FP32 are, but for few numbers that a step of a quantizer moved."""
    if not _comparable(own, fused):
        return False
    moved = ~_close(own, fused, TOLERANCE["fp32"])
    return int(moved.sum()) <= MOVED_SHARE * moved.numel() and bool(_close(own, fused, MOVED).all())


def _comparable(own: Any, fused: Any) -> bool:  # noqa: ANN401
    return isinstance(own, Tensor) and isinstance(fused, Tensor) and own.shape == fused.shape


def _close(own: Tensor, fused: Tensor, tolerance: float) -> Tensor:
    finite = own[own.isfinite()]
    scale = float(finite.abs().max()) if finite.numel() else 0.0
    return torch.isclose(fused, own, rtol=tolerance, atol=tolerance * scale, equal_nan=True)
