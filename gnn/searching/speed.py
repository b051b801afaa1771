"""How fast a compressed model is beside the dense one, in a fraction of a second."""

import statistics
import time
from dataclasses import dataclass

from gnn.determinism import deterministic
from gnn.runtime import Inference

BLOCK_CALLS = 4
LEAST_BLOCKS = 4
# From here on a block is a single call, so that there are more of them.
SLOW_CALL_S = 0.005


@dataclass(frozen=True)
class Speed:
    """Seconds of one compiled inference, dense and compressed, and their ratio.

    It was measured alone on one thread for `measured_s` seconds, without waiting for a quiet machine: enough to choose
    by, not enough to publish.
    """

    dense_latency_s: float
    latency_s: float
    speedup: float
    measured_s: float


def compare_speed(dense: Inference, compressed: Inference, budget_s: float) -> Speed:
    """Time two inferences in turns, block by block; the speed-up is the median of the ratios of the blocks' minima.

    Args:
        dense: The dense model, compiled.
        compressed: The compressed one, compiled.
        budget_s: How long it takes, or longer where four blocks of each need more.
    """
    start_s = time.perf_counter()
    blocks: list[tuple[float, float]] = []
    with deterministic(seed=0):
        first_s = max(_fastest(infer, BLOCK_CALLS) for infer in (dense, compressed))
        calls = 1 if first_s > SLOW_CALL_S else BLOCK_CALLS
        while len(blocks) < LEAST_BLOCKS or time.perf_counter() < start_s + budget_s:
            if len(blocks) % 2:
                compressed_s, dense_s = _fastest(compressed, calls), _fastest(dense, calls)
            else:
                dense_s, compressed_s = _fastest(dense, calls), _fastest(compressed, calls)
            blocks.append((dense_s, compressed_s))
    return Speed(
        dense_latency_s=statistics.median(block[0] for block in blocks),
        latency_s=statistics.median(block[1] for block in blocks),
        speedup=statistics.median(dense_s / compressed_s for dense_s, compressed_s in blocks),
        measured_s=time.perf_counter() - start_s,
    )


def _fastest(infer: Inference, calls: int) -> float:
    """The shortest of some calls; the first of several warms up and does not count."""
    times = []
    for number in range(calls):
        start_s = time.perf_counter()
        infer()
        if number or calls == 1:
            times.append(time.perf_counter() - start_s)
    return max(min(times), 1e-9)
