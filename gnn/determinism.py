"""One thread, one seed, one result."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.utils.deterministic


@contextmanager
def deterministic(seed: int) -> Iterator[None]:
    """Run the block on one thread with seeded, deterministic algorithms, and put everything back afterwards.

    On one machine the same seed then gives bit-identical tensors; the caller's random numbers are untouched. New memory
    is not filled before it is written: that makes no result repeatable that was not, and takes a tenth of the time.
    """
    threads = torch.get_num_threads()
    algorithms = torch.get_deterministic_debug_mode()
    memory: Any = torch.utils.deterministic
    filling = memory.fill_uninitialized_memory
    # Counting devices asks the driver, which may warn; where CUDA was never used it has no random numbers to keep.
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(devices, device_type="cuda"):
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        # As use_deterministic_algorithms(True), which imports the compiler of PyTorch for it, and that takes seconds.
        torch.set_deterministic_debug_mode("error")
        memory.fill_uninitialized_memory = False
        try:
            yield
        finally:
            memory.fill_uninitialized_memory = filling
            torch.set_deterministic_debug_mode(algorithms)
            torch.set_num_threads(threads)
