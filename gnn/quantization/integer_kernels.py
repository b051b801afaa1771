"""The one integer kernel that PyTorch has on the CPU, and what is needed around it."""

import torch
from torch import Tensor

INT8_SHIFT = 128


def int8_product(left: Tensor, right: Tensor) -> Tensor:
    """The matrix product of whole numbers, [m, k] int8 times [n, k] int8, as [m, n] int32 sums.

    torch._int_mm runs on the processor's dot products of bytes where it has any; it is not public, so that torch is
    pinned and this is the only place that calls it. On a device that lacks it, the same sums are taken in float64.
    """
    if left.shape[1] == 1:
        # The kernel of torch 2.13 leaves such products undefined.
        return left.int() * right.t().int()
    try:
        return torch._int_mm(left, right.t())  # pyright: ignore[reportPrivateImportUsage]
    except RuntimeError:
        return (left.double() @ right.double().t()).to(torch.int32)


def pack_codes(codes: Tensor, bit_width: int) -> Tensor:
    """Codes from 0 to 2^bit_width - 1 as bytes [entries], or two in each byte [ceil(entries / 2)] up to 4 bits."""
    flat = codes.flatten().to(torch.uint8)
    if bit_width > 4:
        return flat
    padded = torch.nn.functional.pad(flat, (0, len(flat) % 2))
    return padded[::2] << 4 | padded[1::2]


def unpack_codes(packed: Tensor, bit_width: int, shape: torch.Size) -> Tensor:
    """The codes that were packed, uint8 of this shape."""
    if bit_width > 4:
        return packed.view(shape)
    codes = torch.stack([packed >> 4, packed & 15], dim=1).flatten()
    return codes[: shape.numel()].view(shape)
