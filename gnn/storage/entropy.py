"""The entropy of symbols that are coded one by one."""

import numpy as np


def entropy_bytes(symbols: np.ndarray) -> float:
    """n H / 8 bytes for n symbols, H = -sum of p log2 p over their shares p: the least of any order-0 coder."""
    counts = np.unique(symbols, return_counts=True)[1]
    return float((counts * np.log2(counts.sum() / counts)).sum()) / 8
