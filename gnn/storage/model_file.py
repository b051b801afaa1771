"""A compressed model as one file that really is small and needs nothing else to be loaded."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as safetensors_bytes
from torch import Tensor

from gnn.atomic_file import write_atomically
from gnn.errors import StorageError
from gnn.models import MODELS, GraphModel, build_model, settings_mapping
from gnn.storage.codec import LARGEST_TENSOR_BYTES, Description, decode, encode

FORMAT = "gnn-compression"
VERSION = "1"


@dataclass(frozen=True)
class LoadedModel:
    """A model as it was saved, and what the file says about it."""

    model: GraphModel
    model_name: str
    task: str


def save(model: GraphModel, path: Path, *, model_name: str, task: str) -> int:
    """Write a model to `path` and return the size of the file in bytes.

    The file is a safetensors container: one uint8 blob or two per tensor, and as metadata one JSON text with
    the format's version, the model's name and settings, the task, a description of every tensor and a sha256
    over all of it. The same model gives the same bytes. It is written through a temporary file. Raises
    `UnknownNameError` and `StorageError`.
    """
    MODELS[model_name]
    blobs: dict[str, bytes] = {}
    descriptions: dict[str, object] = {}
    for name, tensor in model.state_dict().items():
        encoded = encode(tensor)
        descriptions[name] = encoded.description
        blobs |= {f"{name}/{part}": blob for part, blob in encoded.blobs.items()}
    header = {
        "version": VERSION,
        "model": model_name,
        "settings": settings_mapping(model),
        "task": task,
        "tensors": descriptions,
    }
    content = container_bytes(header, blobs)
    write_atomically(path, content)
    return len(content)


def container_bytes(header: Mapping[str, object], blobs: Mapping[str, bytes]) -> bytes:
    """The file's bytes: blobs as uint8 tensors, and the header with its checksum as the only metadata entry."""
    text = json.dumps({**header, "sha256": _digest(header, blobs)}, sort_keys=True)
    return safetensors_bytes({key: _as_tensor(blob) for key, blob in sorted(blobs.items())}, {FORMAT: text})


def load(path: Path) -> LoadedModel:
    """Read a model file into a fresh model; raises `StorageError` with one sentence for any damage.

    Blobs that no tensor describes are under the checksum like all others, and left alone.
    """
    try:
        header, blobs = _read(path)
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise StorageError(f"{path} is not a readable model file ({error}); save the model again") from error
    if header.get("version") != VERSION:
        raise StorageError(
            f"{path} is of format {FORMAT!r} version {header.get('version')!r}; this library reads version {VERSION!r}"
        )
    if header.pop("sha256", None) != _digest(header, blobs):
        raise StorageError(f"{path} is damaged: its content does not match its sha256; save the model again")
    try:
        return _rebuild(header, blobs)
    except (ValueError, KeyError, TypeError, AttributeError, RuntimeError, OverflowError) as error:
        # PyTorch appends a trace of its own to some messages; the first line is the sentence.
        reason = str(error).partition("\n")[0]
        raise StorageError(f"{path} does not describe a model of this library ({reason})") from error


def _rebuild(header: Mapping[str, Any], blobs: Mapping[str, bytes]) -> LoadedModel:
    with torch.device("meta"):
        expected = build_model(header["model"], header["settings"]).state_dict()
    if sum(tensor.nbytes for tensor in expected.values()) > LARGEST_TENSOR_BYTES:
        raise StorageError(f"its settings ask for more than {LARGEST_TENSOR_BYTES} bytes: {header['settings']}")
    described = {name: Description.parse(content) for name, content in header["tensors"].items()}
    _check_state(expected, described)
    state = {
        name: decode(
            content, {part.rpartition("/")[2]: blobs[part] for part in blobs if part.rpartition("/")[0] == name}
        )
        for name, content in header["tensors"].items()
    }
    model = build_model(header["model"], header["settings"])
    model.load_state_dict(state)
    model.eval()
    return LoadedModel(model, header["model"], header["task"])


def _check_state(expected: Mapping[str, Tensor], described: Mapping[str, Description]) -> None:
    if different := expected.keys() ^ described.keys():
        raise StorageError(f"tensor {min(different)!r} is missing in the file or unknown to the model")
    for name, tensor in expected.items():
        if (tuple(tensor.shape), tensor.dtype) != (described[name].shape, described[name].dtype):
            raise StorageError(
                f"tensor {name!r} is {described[name].dtype} {described[name].shape}, the model's is {tensor.dtype} "
                f"{tuple(tensor.shape)}"
            )


def _read(path: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    with safe_open(path, framework="pt") as file:
        header = json.loads((file.metadata() or {}).get(FORMAT, "null"))
        keys = list(file.keys())
        # Before a tensor is read: torch's reader fails in its own ways on types that are not ours.
        if not isinstance(header, dict) or any(file.get_slice(key).get_dtype() != "U8" for key in keys):
            raise ValueError(f"a safetensors file, but not of the format {FORMAT!r}")
        return header, {key: file.get_tensor(key).numpy().tobytes() for key in keys}


def _digest(header: Mapping[str, object], blobs: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256(json.dumps(dict(header), sort_keys=True).encode())
    for key in sorted(blobs):
        digest.update(f"{key} {len(blobs[key])};".encode() + blobs[key])
    return digest.hexdigest()


def _as_tensor(blob: bytes) -> Tensor:
    return torch.frombuffer(bytearray(blob), dtype=torch.uint8)
