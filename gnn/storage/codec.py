"""One tensor to bytes and back, without losing a bit."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
import zstandard
from torch import Tensor

from gnn.errors import StorageError
from gnn.tensor_bytes import tensor_bytes

COMPRESSION_LEVEL = 19
DTYPES = {str(dtype).removeprefix("torch."): dtype for dtype in (torch.float32, torch.int64, torch.uint8)}
CODECS = {"whole": ("values",), "masked": ("mask", "values")}
# A few bytes of zstd can promise terabytes, so a description is held against this before memory is taken.
LARGEST_TENSOR_BYTES = 2**30


@dataclass(frozen=True)
class Encoded:
    """A tensor's description (JSON values) and its blobs by name."""

    description: dict[str, object]
    blobs: dict[str, bytes]


@dataclass(frozen=True)
class Description:
    """What a file says about one tensor; raises `StorageError` for anything that is not of this format."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    codec: str

    @classmethod
    def parse(cls, content: object) -> "Description":
        """Check a description as it was read from JSON."""
        try:
            shape, dtype, codec = content["shape"], DTYPES[content["dtype"]], content["codec"]  # pyright: ignore[reportIndexIssue]
            well_formed = codec in CODECS and all(type(size) is int and size >= 0 for size in shape)
        except (KeyError, TypeError, IndexError) as error:
            raise StorageError(f"the tensor description {content!r} is not one of this format") from error
        if not well_formed:
            raise StorageError(f"the tensor description {content!r} is not one of this format")
        size_bytes = prod(shape) * dtype.itemsize
        if size_bytes > LARGEST_TENSOR_BYTES:
            raise StorageError(f"a tensor of {size_bytes} bytes is described; at most {LARGEST_TENSOR_BYTES} are read")
        return cls(tuple(shape), dtype, codec)


def encode(tensor: Tensor) -> Encoded:
    """Encode a tensor as "masked" (bit mask, then the values that are not zero) or "whole", the smaller one.

    Values are byte-shuffled (all first bytes, all second bytes, ...) and everything is compressed with
    zstd. A value counts as zero only when all its bits are, so -0.0 survives. Raises `StorageError` for a
    type of tensor that the format does not hold.
    """
    dtype = str(tensor.dtype).removeprefix("torch.")
    if dtype not in DTYPES:
        raise StorageError(f"tensors of type {tensor.dtype} cannot be stored; valid are: {', '.join(DTYPES)}")
    elements = tensor_bytes(tensor)
    kept = elements.any(axis=1)
    whole = {"values": _compress(elements.T)}
    masked = {"mask": _compress(np.packbits(kept)), "values": _compress(elements[kept].T)}
    codec, blobs = min(("whole", whole), ("masked", masked), key=lambda pair: sum(map(len, pair[1].values())))
    return Encoded({"shape": list(tensor.shape), "dtype": dtype, "codec": codec}, blobs)


def decode(description: object, blobs: Mapping[str, bytes]) -> Tensor:
    """The tensor that was encoded; raises `StorageError` when description and blobs do not fit."""
    parsed = Description.parse(description)
    if missing := [part for part in CODECS[parsed.codec] if part not in blobs]:
        raise StorageError(f"the {missing[0]} of a tensor are missing")
    count, item_bytes = prod(parsed.shape), parsed.dtype.itemsize
    if parsed.codec == "masked":
        bits = np.frombuffer(_decompress(blobs["mask"], (count + 7) // 8), dtype=np.uint8)
        kept = np.unpackbits(bits, count=count).astype(bool)
    else:
        kept = np.ones(count, dtype=bool)
    stored = int(kept.sum())
    values = np.frombuffer(_decompress(blobs["values"], stored * item_bytes), dtype=np.uint8)
    elements = np.zeros((count, item_bytes), dtype=np.uint8)
    elements[kept] = values.reshape(item_bytes, stored).T
    return torch.from_numpy(elements).flatten().view(parsed.dtype).reshape(parsed.shape)


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
