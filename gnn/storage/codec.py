"""One tensor to bytes and back, without losing a bit."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
import zstandard
from torch import Tensor

from gnn.errors import StorageError

COMPRESSION_LEVEL = 19
DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in (torch.float32, torch.int64, torch.uint8)}


@dataclass(frozen=True)
class Encoded:
    """A tensor's description (JSON values) and its blobs by name."""

    description: dict[str, object]
    blobs: dict[str, bytes]

    @property
    def size_bytes(self) -> int:
        """Bytes of all blobs."""
        return sum(len(blob) for blob in self.blobs.values())


def encode(tensor: Tensor) -> Encoded:
    """Encode a tensor as "masked" (bit mask, then the values that are not zero) or "whole", the smaller one.

    Values are byte-shuffled (all first bytes, all second bytes, ...) and everything is compressed with
    zstd. A value counts as zero only when all its bits are, so -0.0 survives.
    """
    description = {"shape": list(tensor.shape), "dtype": str(tensor.dtype).removeprefix("torch.")}
    if description["dtype"] not in DTYPES:
        raise StorageError(f"tensors of type {tensor.dtype} cannot be stored; valid are: {', '.join(DTYPES)}")
    elements = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
    elements = elements.reshape(tensor.numel(), tensor.element_size())
    kept = elements.any(axis=1)
    whole = {"values": _compress(elements.T)}
    masked = {"mask": _compress(np.packbits(kept)), "values": _compress(elements[kept].T)}
    codec, blobs = min(("whole", whole), ("masked", masked), key=lambda pair: sum(map(len, pair[1].values())))
    return Encoded({**description, "codec": codec}, blobs)


def decode(description: Mapping[str, object], blobs: Mapping[str, bytes]) -> Tensor:
    """The tensor that was encoded; raises `StorageError` when description and blobs do not fit."""
    try:
        dtype = DTYPES[str(description["dtype"])]
        shape = [int(size) for size in description["shape"]]  # pyright: ignore[reportGeneralTypeIssues]
        masked = {"whole": False, "masked": True}[str(description["codec"])]
    except (KeyError, TypeError, ValueError) as error:
        raise StorageError(f"the tensor description {dict(description)} is not one of this format") from error
    count, item_bytes = prod(shape), dtype.itemsize
    kept = np.ones(count, dtype=bool)
    if masked:
        bits = np.frombuffer(_decompress(blobs["mask"], (count + 7) // 8), dtype=np.uint8)
        kept = np.unpackbits(bits, count=count).astype(bool)
    stored = int(kept.sum())
    values = np.frombuffer(_decompress(blobs["values"], stored * item_bytes), dtype=np.uint8)
    elements = np.zeros((count, item_bytes), dtype=np.uint8)
    elements[kept] = values.reshape(item_bytes, stored).T
    return torch.from_numpy(elements).flatten().view(dtype).reshape(shape)


def _compress(array: np.ndarray) -> bytes:
    return zstandard.ZstdCompressor(level=COMPRESSION_LEVEL).compress(array.tobytes())


def _decompress(blob: bytes, expected_bytes: int) -> bytes:
    try:
        parameters = zstandard.get_frame_parameters(blob)
        if parameters.content_size != expected_bytes:
            raise StorageError(f"a blob holds {parameters.content_size} bytes, {expected_bytes} were expected")
        return zstandard.ZstdDecompressor().decompress(blob, max_output_size=expected_bytes)
    except zstandard.ZstdError as error:
        raise StorageError(f"a blob cannot be decompressed ({error})") from error
