"""How much a model computes and moves, and how much of both this machine can do: the two sides of a roofline."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from gnn.native import PackedWeight
from gnn.quantization.integer_kernels import int8_product
from gnn.runtime import Inference

ROUNDS = 30
# What gathers rows for edges, and what puts them where they belong.
ALONG_EDGES = ("index_select", "index", "gather", "scatter_add", "index_add", "scatter_reduce")
# Of products and of arrays that are read; the small one stays in a cache of 1 MiB, the large one in none.
SQUARE, SMALL_BYTES, LARGE_BYTES = 768, 256 * 2**10, 256 * 2**20


@dataclass(frozen=True)
class Peaks:
    """What one core does at most in a second: the best product in FP32 and of whole numbers, and bytes read."""

    flop: float
    byte_operations: float
    cache_bytes: float
    memory_bytes: float


@lru_cache
def peaks() -> Peaks:
    """Measure this machine on one thread, in a second or less."""
    matrix = torch.randn(SQUARE, SQUARE)
    codes = torch.ones(SQUARE, SQUARE, dtype=torch.int8)
    ours = PackedWeight(matrix)
    products: list[Callable[[], object]] = [
        lambda: matrix @ matrix,
        lambda: functional.linear(matrix, matrix),
        lambda: ours.product(matrix, None),
    ]
    operations = 2.0 * SQUARE**3
    return Peaks(
        flop=operations / min(map(_least_s, products)),
        byte_operations=operations / _least_s(lambda: int8_product(codes, codes), rounds=3),
        cache_bytes=SMALL_BYTES / _least_s(torch.ones(SMALL_BYTES // 4).sum),
        memory_bytes=LARGE_BYTES / _least_s(torch.ones(LARGE_BYTES // 4).sum, rounds=3),
    )


def _least_s(function: Callable[[], object], rounds: int = ROUNDS) -> float:
    function()
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


@dataclass(frozen=True)
class Work:
    """Operations of products with weights, bytes that these read and write, and bytes of messages along edges."""

    flop: float
    product_bytes: float
    message_bytes: float

    def least_s(self, limits: Peaks) -> float:
        """What a core that did nothing but this would take, with all numbers in its cache."""
        return self.flop / limits.flop + self.message_bytes / limits.cache_bytes


def work_of(inference: Inference) -> Work:
    """Count what a forward pass does, operation by operation; what is no operation of PyTorch is not seen."""
    with _Counting() as counting:
        inference()
    return Work(**counting.counts)


class _Counting(TorchDispatchMode):
    """Adds up products, and rows that are gathered or scattered along edges."""

    def __init__(self) -> None:
        super().__init__()
        self.counts = dict.fromkeys(("flop", "product_bytes", "message_bytes"), 0.0)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401
        """Count, then do what was asked."""
        # In inference mode what is made of other operations comes here as it is.
        with self:
            parts = func.decompose(*args, **(kwargs or {}))
        if parts is not NotImplemented:
            return parts
        out = func(*args, **(kwargs or {}))
        name = func._schema.name.removeprefix("aten::")
        matrices = [given for given in args if isinstance(given, Tensor) and given.dim() == 2]
        if name in ("mm", "addmm", "_int_mm") and isinstance(out, Tensor):
            left, right = matrices[-2:]
            self.counts["flop"] += 2.0 * len(left) * prod(right.shape)
            self.counts["product_bytes"] += sum(t.numel() * t.element_size() for t in (left, right, out))
        elif name in ("_embedding_bag", "_embedding_bag_forward_only"):
            table, index = args[0], args[1]
            self.counts["message_bytes"] += 4.0 * (len(index) * table.shape[1] + out[0].numel())
        elif name.rstrip("_") in ALONG_EDGES and isinstance(out, Tensor) and out.dim() == 2:
            self.counts["message_bytes"] += 4.0 * out.numel()
        return out


def as_json(work: Work | Peaks) -> dict[str, float]:
    """The numbers by name."""
    return asdict(work)
