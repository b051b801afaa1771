"""Whether a fused form gives what the module's own forward gives."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

# Of the largest number: sums in another order, of which some are rounded to the next bfloat16 then.
TOLERANCE = {"fp32": 1e-5, "bf16": 1e-2}
# Half of what the gate lets a runtime differ by, and how many times as far a form may round that rounds elsewhere.
MOST_ROUNDING, AS_FAR = 5e-5, 4
# A number between two steps of 8 bits is moved by one where its sum is in another order, and some more after it.
MOVED, MOVED_SHARE = 5e-2, 0.1


def agree(own: Any, fused: Any, tolerance: float) -> bool:  # noqa: ANN401
    """Whether both are tensors of one shape, equal to a tolerance of the largest number."""
    return _comparable(own, fused) and bool(_close(own, fused, tolerance).all())


@torch.no_grad()
def own_rounding(module: nn.Module, arguments: tuple[Any, ...], keywords: Mapping[str, Any]) -> float:
    """Estimate how far from the exact result a module's own forward pass may be.

    4 max|f(x; w (1 + e s)) - f(x; w)| / max|f(x; w)|, s = +1 or -1 at random and e the distance of FP32's numbers from
    one another: how far the result moves with the last bit of every weight. It is most where a channel never varies, as
    after pruning: its normalisation divides by the root of nearly nothing.

    Source: random perturbation of the last bit, as in Monte Carlo arithmetic (Parker, 1997).

    Args:
        module: A module in FP32 and in no wrapper, which is not changed.
        arguments, keywords: Those of the call.

    Returns:
        A share of the largest number, at most `MOST_ROUNDING`; 0 where the result is no tensor of finite numbers or
        has none but zeros.
    """
    own, moved = copy.deepcopy(module).eval(), copy.deepcopy(module).eval()
    random = torch.Generator().manual_seed(0)
    for tensor in (*moved.parameters(), *moved.buffers()):
        if tensor.dtype == torch.float32:
            up_or_down = 2 * torch.randint(2, tensor.shape, generator=random) - 1
            tensor.mul_(1 + torch.finfo(tensor.dtype).eps * up_or_down.to(tensor.device))
    exact, rounded = own(*arguments, **keywords), moved(*arguments, **keywords)
    if not (_comparable(exact, rounded) and exact.isfinite().all() and exact.any()):
        return 0.0
    return min(MOST_ROUNDING, AS_FAR * float((rounded - exact).abs().max() / exact.abs().max()))


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
