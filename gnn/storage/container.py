"""The safetensors file around the streams: what it says of itself, and a checksum over every byte of it."""

import base64
import binascii
import hashlib
import json
import mmap
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gnn.atomic_file import AnyPath
from gnn.errors import StorageError
from gnn.storage.codec import CODECS, Content
from gnn.storage.quotation import quoted
from gnn.storage.state_streams import Stream

FORMAT = "gnn-compression"
# The second holds registered models only, and these types of tensors.
VERSIONS = ("2", "3")
_DTYPES_OF_2 = {"float32", "int64", "uint8", "bool"}
# Until a file's checksum is known nothing in it is believed, sizes least of all: what it says of itself may be this
# long, and longer only where the file itself is large.
HEADER_BYTES = 2**16
DESCRIPTION_BYTES = 2**18
_LARGEST_HEADER_BYTES = 2**26
_LENGTH_BYTES = 8
_NO_DIGEST = "0" * 64


@dataclass(frozen=True)
class Header:
    """What a file says of its model; `tensors` maps names to [type, shape, bits per element].

    `model` is a registered name or, where there are no `settings`, that of a class, for people to read.
    `quantization` says how a model that runs on integers was quantized, None for all others; `weights` are the shapes
    of the weights that such a model holds as codes, `sizes` what its layers know of their widths; where there are
    settings, only of a model that is narrower than they say.
    """

    model: str
    settings: dict[str, Any] | None
    task: str
    precision: str
    tensors: dict[str, Any]
    quantization: dict[str, Any] | None = None
    weights: dict[str, Any] | None = None
    sizes: dict[str, Any] | None = None

    @property
    def version(self) -> str:
        """The version of the format that has room for all this."""
        old = (
            self.settings is not None
            and self.sizes is None
            and {dtype for dtype, *_ in self.tensors.values()} <= _DTYPES_OF_2
        )
        return VERSIONS[0] if old else VERSIONS[1]


@dataclass(frozen=True)
class FileSizes:
    """Bytes of a file that are streams, and all others: names, shapes, settings, checksum."""

    payload: int
    overhead: int


def container_parts(header: Header, streams: Mapping[str, Stream]) -> list[Content]:
    """The file's bytes: a safetensors container of one uint8 tensor per stream, and the header as its metadata.

    The metadata is one JSON text (several entries would have no fixed order). In it `tensors` is a JSON text of its
    own, compressed with zstd and in base64; `codecs` is a list such as "mask=gaps+lzma codes=zstd"; `sha256` is the
    checksum of the file with 64 zeros in its place.
    """
    content = {
        "version": header.version,
        "model": header.model,
        "settings": header.settings,
        "task": header.task,
        "precision": header.precision,
        "tensors": _compressed(header.tensors),
        "codecs": " ".join(f"{name}={stream.codec}" for name, stream in streams.items()),
        "sha256": _NO_DIGEST,
        "quantization": header.quantization,
        "weights": None if header.weights is None else _compressed(header.weights),
        "sizes": None if header.sizes is None else _compressed(header.sizes),
    }
    text = _json({name: value for name, value in content.items() if value is not None})
    entries, blobs, size = {}, [streams[name].blob for name in sorted(streams)], 0
    for name, blob in zip(sorted(streams), blobs, strict=True):
        entries[name] = {"dtype": "U8", "shape": [len(blob)], "data_offsets": [size, size := size + len(blob)]}
    start = _json({"__metadata__": {FORMAT: text}, **entries}).encode()
    start += b" " * (-len(start) % _LENGTH_BYTES)
    if len(start) > (most := _most_header_bytes(_LENGTH_BYTES + len(start) + size)):
        raise StorageError(f"has a header of {len(start)} bytes; at most {most} are stored")
    start = len(start).to_bytes(_LENGTH_BYTES, "little") + start
    return [start.replace(_signature(_NO_DIGEST), _signature(_digest(start, *blobs)), 1), *blobs]


def read_container(path: AnyPath) -> tuple[Header, dict[str, Stream]]:
    """Header and streams of a file, checked but for their meaning; raises `StorageError` without the path."""
    content = _mapped(Path(path))
    start = _start(content)
    metadata, entries = _metadata(start[_LENGTH_BYTES:])
    if (version := metadata.get("version")) not in VERSIONS:
        known = " and ".join(map(repr, VERSIONS))
        raise StorageError(f"is of format {FORMAT!r} version {quoted(version)}; this library reads versions {known}")
    data = content[len(start) :]
    blobs = _blobs(entries, data)
    _check_digest(start, data, metadata.get("sha256"))
    entries = [entry.partition("=") for entry in _typed(metadata, "codecs", str).split()]
    codecs = {name: codec for name, _, codec in entries}
    if codecs.keys() != blobs.keys():
        raise StorageError(f"holds the streams {quoted(sorted(blobs))} but declares {quoted(sorted(codecs))}")
    header = Header(
        model=_typed(metadata, "model", str),
        settings=_typed(metadata, "settings", dict) if version == "2" or "settings" in metadata else None,
        task=_typed(metadata, "task", str),
        precision=_typed(metadata, "precision", str),
        tensors=_description(metadata, "tensors", len(content)),
        quantization=_typed(metadata, "quantization", dict) if "quantization" in metadata else None,
        weights=_description(metadata, "weights", len(content)) if "weights" in metadata else None,
        sizes=_description(metadata, "sizes", len(content)) if "sizes" in metadata else None,
    )
    return header, {name: Stream(codecs[name], blob) for name, blob in blobs.items()}


def file_sizes(path: AnyPath) -> FileSizes:
    """How much of a model file is payload; raises `StorageError` for a file that is none or is damaged."""
    try:
        payload = sum(len(stream.blob) for stream in read_container(path)[1].values())
        return FileSizes(payload, Path(path).stat().st_size - payload)
    except StorageError as error:
        raise StorageError(f"{path} {error}") from error


def _mapped(path: Path) -> memoryview:
    """The bytes of a file, none of which is in memory before it is looked at."""
    try:
        if not path.is_file():
            path.stat()
            raise StorageError("is not a file; give the path of a saved model")
        with path.open("rb") as file:
            if (size := os.fstat(file.fileno()).st_size) < _LENGTH_BYTES:
                raise StorageError(f"is cut off after {size} bytes; copy or save it again")
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError as error:
        raise StorageError(f"cannot be read ({error.strerror}); save the model again") from error


def _start(content: memoryview) -> bytes:
    """The header with its length before it, read only when that is credible."""
    length, most = int.from_bytes(content[:_LENGTH_BYTES], "little"), _most_header_bytes(len(content))
    if length > most:
        raise StorageError(f"claims a header of {length} bytes; at most {most} are read")
    if _LENGTH_BYTES + length > len(content):
        raise StorageError(f"is cut off within its header, after {len(content)} bytes; copy or save it again")
    return bytes(content[: _LENGTH_BYTES + length])


def _metadata(header: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """The JSON text in the header, and what else is in the header."""
    try:
        entries = json.loads(header)
        text = entries.pop("__metadata__", {}).get(FORMAT)
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise StorageError("is damaged or no safetensors file: its header cannot be read; save it again") from error
    try:
        metadata = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        metadata = None
    if not isinstance(metadata, dict):
        raise StorageError(f"is a safetensors file, but not of the format {FORMAT!r}")
    return metadata, entries


def _blobs(entries: dict[str, Any], data: memoryview) -> dict[str, memoryview]:
    """The streams, which have to lie one behind the other from the start of the data to its end."""
    spans: list[tuple[int, int, str]] = []
    for name, entry in entries.items():
        try:
            dtype, shape, (start, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
        except (KeyError, TypeError, ValueError):
            raise StorageError("is damaged: its header describes no data; save the model again") from None
        if dtype != "U8" or not isinstance(shape, list) or len(shape) != 1:
            raise StorageError("holds tensors that are no streams of bytes")
        if not all(type(number) is int for number in (start, end, *shape)) or end - start != shape[0]:
            raise StorageError(f"is damaged: its header describes {quoted(name)} as {quoted(entry)}; save it again")
        spans.append((start, end, name))
    place = 0
    for start, end, name in [*sorted(spans), (len(data), len(data), "the end")]:
        if start != place or not start <= end <= len(data):
            reason = f"{quoted(name)} does not start at byte {place} or is beyond byte {len(data)}"
            raise StorageError(f"is cut off or damaged: header and data do not fit ({reason}); save it again")
        place = end
    return {name: data[start:end] for start, end, name in spans}


def _check_digest(start: bytes, data: memoryview, digest: object) -> None:
    if not isinstance(digest, str) or not re.fullmatch("[0-9a-f]{64}", digest):
        raise StorageError("is damaged: it has no sha256; save the model again")
    if _digest(start.replace(_signature(digest), _signature(_NO_DIGEST), 1), data) != digest:
        raise StorageError("is damaged: its content does not match its sha256; save the model again")


def _digest(*parts: Content) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def _most_header_bytes(file_bytes: int) -> int:
    """How long a header may be in a file of this size."""
    return min(max(HEADER_BYTES, file_bytes // 4), _LARGEST_HEADER_BYTES)


def _description(metadata: Mapping[str, Any], field: str, file_bytes: int) -> dict[str, Any]:
    text = _typed(metadata, field, str)
    try:
        compressed = base64.b64decode(text, validate=True)
        content = CODECS["zstd"].decompress(compressed, max(DESCRIPTION_BYTES, file_bytes))
        tensors = json.loads(bytes(content))
    except (binascii.Error, ValueError, RecursionError) as error:
        reason = error if isinstance(error, StorageError) else "cannot be read"
        raise StorageError(f"has a description of its {field} that {reason}") from error
    if not isinstance(tensors, dict):
        raise StorageError(f"has a description of its {field} that is none")
    return tensors


def _typed(metadata: Mapping[str, Any], field: str, of_type: type[Any]) -> Any:  # noqa: ANN401
    value = metadata.get(field)
    if not isinstance(value, of_type):
        raise StorageError(f"says nothing valid about its {field!r}: {quoted(value)}")
    return value


def _signature(digest: str) -> bytes:
    """The checksum as it stands in the file: in a JSON text that is a string in another."""
    return json.dumps(f'"sha256":"{digest}"').encode()[1:-1]


def _compressed(description: Mapping[str, Any]) -> str:
    return base64.b64encode(CODECS["zstd"].compress(_json(description).encode())).decode()


def _json(content: object) -> str:
    return json.dumps(content, separators=(",", ":"))
