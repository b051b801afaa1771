"""Floating-point numbers as one stream of bytes that compresses and one that does not."""

from collections.abc import Iterable

import numpy as np


def split_floats(bits: np.ndarray) -> tuple[bytes, bytes]:
    """The high bytes of numbers and their other bytes, most significant first, from their bits as unsigned integers.

    The bits are first rotated left by one, so that the high byte starts with the exponent: trained weights use few
    exponents, while the sign and the fraction after it are noise (measured: 24 bits of FP32 with 24 bits of entropy).
    """
    width = 8 * bits.itemsize
    rotated = (bits << 1) | (bits >> (width - 1))
    planes = [(rotated >> shift & 0xFF).astype(np.uint8) for shift in range(width - 8, -1, -8)]
    return planes[0].tobytes(), b"".join(plane.tobytes() for plane in planes[1:])


def join_floats(streams: Iterable[bytes], bits_type: type[np.unsignedinteger]) -> np.ndarray:
    """The bits that were split into these two streams."""
    high, low = streams
    count, item_bytes = len(high), bits_type().itemsize
    planes = np.frombuffer(high + low, dtype=np.uint8).reshape(item_bytes, count)
    rotated = np.zeros(count, dtype=bits_type)
    for plane in planes:
        rotated = (rotated << 8) | plane
    return (rotated >> 1) | (rotated << (8 * item_bytes - 1))
