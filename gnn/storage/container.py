"""The safetensors file around the streams: what it says of itself, and a checksum over every byte of it."""

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
from safetensors import SafetensorError
from safetensors.numpy import save as safetensors_bytes

from gnn.atomic_file import AnyPath
from gnn.errors import StorageError
from gnn.storage.codec import CODECS
from gnn.storage.quotation import quoted, reason_of
from gnn.storage.state_streams import Stream

FORMAT = "gnn-compression"
VERSION = "2"
# Far above what any model here needs. Until a file's checksum is known nothing in it is believed, sizes least of all.
LARGEST_FILE_BYTES = 2**27
LARGEST_HEADER_BYTES = 2**16
LARGEST_DESCRIPTION_BYTES = 2**18
_LENGTH_BYTES = 8
_NO_DIGEST = "0" * 64


@dataclass(frozen=True)
class Header:
    """What a file says of its model; `tensors` maps names to [type, shape, bits per element].

    `quantization` says how a model that runs on integers was quantized, None for all others.
    """

    model: str
    settings: dict[str, Any]
    task: str
    precision: str
    tensors: dict[str, Any]
    quantization: dict[str, Any] | None = None


@dataclass(frozen=True)
class FileSizes:
    """Bytes of a file that are streams, and all others: names, shapes, settings, checksum."""

    payload: int
    overhead: int


def container_bytes(header: Header, streams: Mapping[str, Stream]) -> bytes:
    """The file's bytes: a safetensors container of one uint8 tensor per stream, and the header as its metadata.

    The metadata is one JSON text (several entries would have no fixed order). In it `tensors` is a JSON text of its
    own, compressed with zstd and in base64; `codecs` is a list such as "mask=gaps+lzma codes=zstd"; `sha256` is the
    checksum of the file with 64 zeros in its place.
    """
    description = json.dumps(header.tensors, separators=(",", ":")).encode()
    content = {
        "version": VERSION,
        "model": header.model,
        "settings": header.settings,
        "task": header.task,
        "precision": header.precision,
        "tensors": base64.b64encode(CODECS["zstd"].compress(description)).decode(),
        "codecs": " ".join(f"{name}={stream.codec}" for name, stream in streams.items()),
        "sha256": _NO_DIGEST,
    }
    if header.quantization is not None:
        content["quantization"] = header.quantization
    text = json.dumps(content, separators=(",", ":"))
    blobs = {name: np.frombuffer(stream.blob, dtype=np.uint8) for name, stream in streams.items()}
    unsigned = safetensors_bytes(blobs, {FORMAT: text})
    header_bytes = int.from_bytes(unsigned[:_LENGTH_BYTES], "little")
    if header_bytes > LARGEST_HEADER_BYTES:
        raise StorageError(f"has a header of {header_bytes} bytes; at most {LARGEST_HEADER_BYTES} are stored")
    return unsigned.replace(_signature(_NO_DIGEST), _signature(hashlib.sha256(unsigned).hexdigest()), 1)


def read_container(path: AnyPath) -> tuple[Header, dict[str, Stream]]:
    """Header and streams of a file, checked but for their meaning; raises `StorageError` without the path."""
    content = _read(Path(path))
    metadata = _metadata(content)
    if metadata.get("version") != VERSION:
        raise StorageError(
            f"is of format {FORMAT!r} version {quoted(metadata.get('version'))}; this library reads version {VERSION!r}"
        )
    blobs = _blobs(content)
    _check_digest(content, metadata.get("sha256"))
    entries = [entry.partition("=") for entry in _typed(metadata, "codecs", str).split()]
    codecs = {name: codec for name, _, codec in entries}
    if codecs.keys() != blobs.keys():
        raise StorageError(f"holds the streams {quoted(sorted(blobs))} but declares {quoted(sorted(codecs))}")
    header = Header(
        model=_typed(metadata, "model", str),
        settings=_typed(metadata, "settings", dict),
        task=_typed(metadata, "task", str),
        precision=_typed(metadata, "precision", str),
        tensors=_description(_typed(metadata, "tensors", str)),
        quantization=_typed(metadata, "quantization", dict) if "quantization" in metadata else None,
    )
    return header, {name: Stream(codecs[name], blob) for name, blob in blobs.items()}


def file_sizes(path: AnyPath) -> FileSizes:
    """How much of a model file is payload; raises `StorageError` for a file that is none or is damaged."""
    try:
        payload = sum(len(stream.blob) for stream in read_container(path)[1].values())
        return FileSizes(payload, Path(path).stat().st_size - payload)
    except StorageError as error:
        raise StorageError(f"{path} {error}") from error


def _read(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise StorageError("is not a file; give the path of a saved model")
        if size > LARGEST_FILE_BYTES:
            raise StorageError(f"has {size} bytes; a model file has at most {LARGEST_FILE_BYTES}")
        with path.open("rb") as file:
            content = file.read(size)
    except OSError as error:
        raise StorageError(f"cannot be read ({error.strerror}); save the model again") from error
    if len(content) < _LENGTH_BYTES:
        raise StorageError(f"is cut off after {len(content)} bytes; copy or save it again")
    return content


def _metadata(content: bytes) -> dict[str, Any]:
    """The JSON text in the header, read only when its length is credible."""
    length = int.from_bytes(content[:_LENGTH_BYTES], "little")
    if length > LARGEST_HEADER_BYTES:
        raise StorageError(f"claims a header of {length} bytes; at most {LARGEST_HEADER_BYTES} are read")
    if _LENGTH_BYTES + length > len(content):
        raise StorageError(f"is cut off within its header, after {len(content)} bytes; copy or save it again")
    try:
        header = json.loads(content[_LENGTH_BYTES : _LENGTH_BYTES + length])
        text = header.get("__metadata__", {}).get(FORMAT)
    except (ValueError, AttributeError, RecursionError) as error:
        raise StorageError("is damaged or no safetensors file: its header cannot be read; save it again") from error
    try:
        metadata = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        metadata = None
    if not isinstance(metadata, dict):
        raise StorageError(f"is a safetensors file, but not of the format {FORMAT!r}")
    return metadata


def _blobs(content: bytes) -> dict[str, bytes]:
    try:
        tensors = safetensors.deserialize(content)
    except SafetensorError as error:
        reason = reason_of(error)
        raise StorageError(f"is cut off or damaged: header and data do not fit ({reason}); save it again") from error
    if any(tensor["dtype"] != "U8" or len(tensor["shape"]) != 1 for _, tensor in tensors):
        raise StorageError("holds tensors that are no streams of bytes")
    return {name: bytes(tensor["data"]) for name, tensor in tensors}


def _check_digest(content: bytes, digest: object) -> None:
    if not isinstance(digest, str) or not re.fullmatch("[0-9a-f]{64}", digest):
        raise StorageError("is damaged: it has no sha256; save the model again")
    unsigned = content.replace(_signature(digest), _signature(_NO_DIGEST), 1)
    if hashlib.sha256(unsigned).hexdigest() != digest:
        raise StorageError("is damaged: its content does not match its sha256; save the model again")


def _description(text: str) -> dict[str, Any]:
    try:
        compressed = base64.b64decode(text, validate=True)
        content = CODECS["zstd"].decompress(compressed, LARGEST_DESCRIPTION_BYTES)
        tensors = json.loads(content)
    except StorageError as error:
        raise StorageError(f"has a description of its tensors that {error}") from error
    except (binascii.Error, ValueError, RecursionError) as error:
        raise StorageError("has a description of its tensors that cannot be read") from error
    if not isinstance(tensors, dict):
        raise StorageError("has a description of its tensors that is none")
    return tensors


def _typed(metadata: Mapping[str, Any], field: str, of_type: type[Any]) -> Any:  # noqa: ANN401
    value = metadata.get(field)
    if not isinstance(value, of_type):
        raise StorageError(f"says nothing valid about its {field!r}: {quoted(value)}")
    return value


def _signature(digest: str) -> bytes:
    """The checksum as it stands in the file: in a JSON text that is a string in another."""
    return json.dumps(f'"sha256":"{digest}"').encode()[1:-1]
