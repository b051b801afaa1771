"""Which elements are not zero, in as few bytes as possible."""

import numpy as np

from gnn.errors import StorageError
from gnn.storage.codec import compress, decompress
from gnn.storage.float_bytes import blocks
from gnn.storage.quotation import quoted

# A byte of this value stands for that many zeros and nothing after them.
_LONG_GAP = 255


def encode_mask(mask: np.ndarray) -> tuple[str, bytes]:
    """The smaller of two forms, as its name such as "gaps+zstd" and its bytes.

    "bits" are eight elements a byte; "gaps" are the numbers of zeros before each element that is none, which for few of
    them are nearer to the entropy.
    """
    encoded = []
    for form, content in (("bits", np.packbits(mask).tobytes()), ("gaps", _to_gaps(mask))):
        codec, blob = compress(content)
        encoded.append((f"{form}+{codec}", blob))
    return min(encoded, key=lambda named: len(named[1]))


def decode_mask(encoding: str, blob: bytes | memoryview, count: int) -> np.ndarray:
    """The mask of `count` elements that was encoded; raises `StorageError` for anything else."""
    form, _, codec = encoding.partition("+")
    if form == "gaps":
        return _from_gaps(decompress(codec, blob, most_bytes=count), count)
    if form != "bits":
        raise StorageError(f"is encoded as {quoted(form)}; valid are: bits, gaps")
    content = decompress(codec, blob, most_bytes=(count + 7) // 8)
    if len(content) != (count + 7) // 8:
        raise StorageError(f"has {8 * len(content)} bits for {count} elements")
    return np.unpackbits(np.frombuffer(content, dtype=np.uint8), count=count).view(bool)


def _to_gaps(mask: np.ndarray) -> bytes:
    parts, last = [], -1
    for block in blocks(len(mask)):
        positions = np.flatnonzero(mask[block]) + block.start
        gaps = np.diff(positions, prepend=last) - 1
        long_gaps = gaps // _LONG_GAP
        content = np.full(len(gaps) + int(long_gaps.sum()), _LONG_GAP, dtype=np.uint8)
        content[np.cumsum(long_gaps + 1) - 1] = gaps % _LONG_GAP
        parts.append(content.tobytes())
        last = positions[-1] if len(positions) else last
    return b"".join(parts)


def _from_gaps(content: bytes | memoryview, count: int) -> np.ndarray:
    gaps = np.frombuffer(content, dtype=np.uint8)
    last = int(gaps.sum(dtype=np.int64)) + int(np.count_nonzero(gaps != _LONG_GAP)) - 1
    if last >= count:
        raise StorageError(f"names element {last} of {count}")
    mask, position = np.zeros(count, dtype=bool), -1
    for block in blocks(len(gaps)):
        ends = gaps[block] != _LONG_GAP
        positions = position + np.cumsum(gaps[block] + ends.astype(np.int64))
        mask[positions[ends]] = True
        position = positions[-1]
    return mask
