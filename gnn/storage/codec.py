"""A stream of bytes to fewer bytes and back, whichever of a few general compressors does it best."""

import lzma
from collections.abc import Callable
from dataclasses import dataclass

import zstandard

from gnn.errors import StorageError
from gnn.storage.quotation import quoted

# Frames go without the magic number: a file has several streams, some of a few bytes.
_FRAMES = zstandard.FORMAT_ZSTD1_MAGICLESS
_ZSTD_LEVEL = 19
# No literal contexts: an adaptive range coder of order 0, which wins where the shares of symbols change on the way.
_LZMA_FILTERS = [{"id": lzma.FILTER_LZMA1, "preset": 9, "dict_size": 2**20, "lc": 0, "lp": 0, "pb": 0}]


# Far above the models measured here. The slow ways make 0.5 to 2 MB/s, which 100 million weights cannot wait for.
_LARGE_BYTES = 2**22
_ZSTD_LEVEL_OF_LARGE = 1
# A block of zstd makes at most 128 KiB out of the 4 bytes that say which byte is repeated.
LARGEST_EXPANSION = 2**15

Content = bytes | memoryview


@dataclass(frozen=True)
class Codec:
    """`compress`, and `decompress` of a blob into at most that many bytes.

    `price` is what a byte of a blob counts when the smallest is chosen.
    """

    compress: Callable[[Content], Content]
    decompress: Callable[[Content, int], Content]
    price: float = 1.0


def _zstd(content: Content) -> bytes:
    level = _ZSTD_LEVEL if len(content) <= _LARGE_BYTES else _ZSTD_LEVEL_OF_LARGE
    parameters = zstandard.ZstdCompressionParameters.from_level(
        level, source_size=len(content), format=_FRAMES, write_content_size=True, write_checksum=False
    )
    return zstandard.ZstdCompressor(compression_params=parameters).compress(content)


def _from_zstd(blob: Content, most_bytes: int) -> bytes:
    try:
        promised = zstandard.get_frame_parameters(blob, format=_FRAMES).content_size
        if promised > most_bytes:
            raise StorageError(f"promises {promised} bytes where at most {most_bytes} belong")
        decompressor = zstandard.ZstdDecompressor(format=_FRAMES)
        return decompressor.decompress(blob, max_output_size=most_bytes, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise StorageError(f"cannot be decompressed ({error})") from error


def _lzma(content: Content) -> bytes:
    return lzma.compress(content, format=lzma.FORMAT_RAW, filters=_LZMA_FILTERS)


def _from_lzma(blob: Content, most_bytes: int) -> bytes:
    decompressor = lzma.LZMADecompressor(format=lzma.FORMAT_RAW, filters=_LZMA_FILTERS)
    try:
        content = decompressor.decompress(blob, max_length=most_bytes + 1)
    except lzma.LZMAError as error:
        raise StorageError(f"cannot be decompressed ({error})") from error
    if len(content) > most_bytes:
        raise StorageError(f"promises more than the {most_bytes} bytes that belong there")
    if not decompressor.eof or decompressor.unused_data:
        raise StorageError("cannot be decompressed (its end is not where it should be)")
    return content


def _stored(blob: Content, most_bytes: int) -> Content:
    if len(blob) > most_bytes:
        raise StorageError(f"has {len(blob)} bytes where at most {most_bytes} belong")
    return blob


# The order decides between equals.
CODECS = {
    "stored": Codec(lambda content: content, _stored),
    "zstd": Codec(_zstd, _from_zstd),
    # It decodes at 20 MB/s, so it has to be worth the wait.
    "lzma": Codec(_lzma, _from_lzma, price=1.04),
}


def compress(content: Content) -> tuple[str, Content]:
    """The name of the codec that makes the cheapest blob of `content`, and the blob."""
    names = CODECS if len(content) <= _LARGE_BYTES else ("stored", "zstd")
    blobs = ((name, CODECS[name].compress(content)) for name in names)
    return min(blobs, key=lambda named: len(named[1]) * CODECS[named[0]].price)


def decompress(codec: str, blob: Content, most_bytes: int) -> Content:
    """What was compressed; raises `StorageError`, before memory is taken, where it is more than `most_bytes`."""
    if codec not in CODECS:
        raise StorageError(f"is compressed with {quoted(codec)}; valid are: {', '.join(sorted(CODECS))}")
    return CODECS[codec].decompress(blob, most_bytes)
