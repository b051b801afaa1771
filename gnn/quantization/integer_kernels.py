"""Matrix products of whole numbers, exact on every processor, and codes packed into bytes."""

import time
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from gnn.native.fastest import NATIVE, fastest
from gnn.native.integers import native_integer_kernel, product_of_bytes, unusable_because

INT8_SHIFT = 128
# float32 holds every whole number up to here.
LARGEST_EXACT = 2**24
# The kernels are compared on a product of this shape.
TRIED_SHAPE = (256, 64, 64)
TRIALS = 5


@lru_cache
def integer_product_kernel() -> str:
    """Return the kernel that multiplies whole numbers in compiled models on this processor.

    It is "native vnni" or "native int16", one of this library's own for instructions that multiply bytes or 16 bits, or
    where that is slower or there is none the one of `torch_product_kernel`.
    """
    of_torch = torch_product_kernel()
    if unusable_because():
        return of_torch
    left, right = _extreme_numbers(*TRIED_SHAPE)
    rows, program = left.view(torch.uint8), product_of_bytes(right.t())
    ways = {of_torch: lambda: int8_product(left, right).float(), NATIVE: lambda: program(rows)}
    return native_integer_kernel() if fastest(("whole product", of_torch), ways) == NATIVE else of_torch


@lru_cache
def torch_product_kernel() -> str:
    """Return the kernel of PyTorch that multiplies whole numbers on this processor: "int8" or "float32".

    Without dot products of bytes PyTorch's int8 kernel is ten times slower than one of float32, and where oneDNN is
    kept from using them its sums may saturate at 16 bits. Both are tried once, at first use, on numbers that saturate.
    """
    left, right = _extreme_numbers(*TRIED_SHAPE)
    try:
        exact = torch.equal(_byte_product(left, right).double(), left.double() @ right.double().t())
    except RuntimeError:
        return "float32"
    floats = left.float(), right.float().t()
    return "int8" if exact and _least_s(_byte_product, left, right) < _least_s(torch.mm, *floats) else "float32"


def int8_product(left: Tensor, right: Tensor) -> Tensor:
    """Multiply whole numbers, [m, k] int8 times [n, k] int8, into sums [m, n] int32, which are exact."""
    if multiplies_bytes(left):
        return _byte_product(left, right)
    return whole_product(left.float(), right.float().t(), INT8_SHIFT**2).to(torch.int32)


def multiplies_bytes(left: Tensor) -> bool:
    """Say whether an int8 kernel takes a left side [m, k] on its device."""
    # The kernel of torch 2.13 leaves products over a single channel undefined.
    return left.device.type == "cpu" and left.shape[1] > 1 and torch_product_kernel() == "int8"


def whole_product(left: Tensor, right: Tensor, largest: float) -> Tensor:
    """Multiply whole numbers [m, k] and [k, n] that are held in float32, without rounding.

    No sum of fewer than 2^24 / `largest` terms leaves the whole numbers that float32 holds, where `largest` bounds
    |left| |right|. Longer ones are added up in parts, in float64.

    Args:
        left: whole numbers, [m, k] float32.
        right: whole numbers, [k, n] float32.
        largest: at least 1 and at least the magnitude of every single term.

    Returns:
        The exact product, [m, n] float32, or float64 where sums may be too large for it.
    """
    terms = max(1, int(LARGEST_EXACT // largest))
    if left.shape[1] <= terms:
        return left @ right
    parts = zip(left.split(terms, dim=1), right.split(terms, dim=0), strict=True)
    return torch.stack([(part @ other).double() for part, other in parts]).sum(0)


def _byte_product(left: Tensor, right: Tensor) -> Tensor:
    # It is not public, so that torch is pinned and this is the only place that calls it.
    return torch._int_mm(left, right.t())  # pyright: ignore[reportPrivateImportUsage]


def _extreme_numbers(m: int, k: int, n: int) -> tuple[Tensor, Tensor]:
    """All of int8, and the rows whose products are largest and smallest."""
    left, right = (torch.arange(rows * k).mul(37).remainder(256).sub(128).view(rows, k) for rows in (m, n))
    for numbers in (left, right):
        numbers[0], numbers[1], numbers[2, ::2] = -128, 127, 127
    return left.to(torch.int8), right.to(torch.int8)


def _least_s(product: Callable[[Tensor, Tensor], Tensor], left: Tensor, right: Tensor) -> float:
    seconds = []
    for _ in range(TRIALS):
        start = time.perf_counter()
        product(left, right)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


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
