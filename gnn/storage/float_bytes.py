"""Floating-point numbers as one stream of bytes that compresses and one that does not."""

from collections.abc import Iterable, Iterator

import numpy as np

# Numbers at a time, so that what is between them and their bytes takes no memory to speak of.
_BLOCK = 2**16


def split_floats(bits: np.ndarray) -> tuple[memoryview, memoryview]:
    """The high bytes of numbers and their other bytes, most significant first, from their bits as unsigned integers.

    The bits are first rotated left by one, so that the high byte starts with the exponent: trained weights use few
    exponents, while the sign and the fraction after it are noise (measured: 24 bits of FP32 with 24 bits of entropy).
    """
    width = 8 * bits.itemsize
    planes = np.empty((bits.itemsize, len(bits)), dtype=np.uint8)
    for block in blocks(len(bits)):
        rotated = (bits[block] << 1) | (bits[block] >> (width - 1))
        for plane, shift in zip(planes, range(width - 8, -1, -8), strict=True):
            plane[block] = rotated >> shift & 0xFF
    return planes[0].data, planes[1:].reshape(-1).data


def join_floats(streams: Iterable[bytes | memoryview], bits_type: type[np.unsignedinteger]) -> np.ndarray:
    """The bits that were split into these two streams."""
    high, low = (np.frombuffer(stream, dtype=np.uint8) for stream in streams)
    bits = np.empty(len(high), dtype=bits_type)
    width = 8 * bits.itemsize
    planes = low.reshape(bits.itemsize - 1, len(high))
    for block in blocks(len(bits)):
        rotated = high[block].astype(bits_type)
        for plane in planes:
            rotated = (rotated << 8) | plane[block]
        bits[block] = (rotated >> 1) | (rotated << (width - 1))
    return bits


def blocks(count: int) -> Iterator[slice]:
    """So many numbers in parts that are worked on one after the other."""
    return (slice(start, start + _BLOCK) for start in range(0, count, _BLOCK))
