"""A compressed model as one file that really is small and needs nothing else to be loaded."""

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as safetensors_bytes
from torch import Tensor

from gnn.atomic_file import write_atomically
from gnn.errors import GnnError, StorageError
from gnn.models import MODELS, GraphModel, build_model, settings_mapping
from gnn.storage.codec import decode, encode

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

    The file is a safetensors container: one uint8 blob or two per tensor, and as metadata the format, its
    version, the model's name and settings, the task, a description of every tensor and a sha256 over all
    of it. It is written through a temporary file. Raises `UnknownNameError` and `StorageError`.
    """
    MODELS[model_name]
    blobs: dict[str, bytes] = {}
    descriptions: dict[str, object] = {}
    for name, tensor in model.state_dict().items():
        encoded = encode(tensor)
        descriptions[name] = encoded.description
        blobs |= {f"{name}/{part}": blob for part, blob in encoded.blobs.items()}
    metadata = {
        "format": FORMAT,
        "version": VERSION,
        "model": model_name,
        "settings": json.dumps(settings_mapping(model), sort_keys=True),
        "task": task,
        "tensors": json.dumps(descriptions, sort_keys=True),
    }
    metadata["sha256"] = _digest(metadata, blobs)
    content = safetensors_bytes({key: _as_tensor(blob) for key, blob in blobs.items()}, metadata)
    write_atomically(path, content)
    return len(content)


def load(path: Path) -> LoadedModel:
    """Read a model file into a fresh model; raises `StorageError` with one sentence for any damage."""
    try:
        metadata, blobs = _read(path)
    except (SafetensorError, struct.error, OSError) as error:
        raise StorageError(f"{path} is not a readable model file ({error}); save the model again") from error
    if metadata.get("format") != FORMAT or metadata.get("version") != VERSION:
        raise StorageError(
            f"{path} is of format {metadata.get('format')!r} version {metadata.get('version')!r}; "
            f"this library reads {FORMAT!r} version {VERSION!r}"
        )
    if metadata.pop("sha256", None) != _digest(metadata, blobs):
        raise StorageError(f"{path} is damaged: its content does not match its sha256; save the model again")
    try:
        return _rebuild(metadata, blobs)
    except (GnnError, RuntimeError, KeyError, json.JSONDecodeError) as error:
        raise StorageError(f"{path} does not describe a model of this library ({error})") from error


def _rebuild(metadata: Mapping[str, str], blobs: Mapping[str, bytes]) -> LoadedModel:
    model = build_model(metadata["model"], json.loads(metadata["settings"]))
    state = {
        name: decode(description, {part: blobs[f"{name}/{part}"] for part in _parts(description)})
        for name, description in json.loads(metadata["tensors"]).items()
    }
    model.load_state_dict(state)
    model.eval()
    return LoadedModel(model, metadata["model"], metadata["task"])


def _parts(description: Mapping[str, object]) -> tuple[str, ...]:
    return ("mask", "values") if description.get("codec") == "masked" else ("values",)


def _read(path: Path) -> tuple[dict[str, str], dict[str, bytes]]:
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata() or {}
        return metadata, {key: file.get_tensor(key).numpy().tobytes() for key in file.keys()}  # noqa: SIM118


def _digest(metadata: Mapping[str, str], blobs: Mapping[str, bytes]) -> str:
    digest = hashlib.sha256(json.dumps(dict(metadata), sort_keys=True).encode())
    for key in sorted(blobs):
        digest.update(f"{key} {len(blobs[key])};".encode() + blobs[key])
    return digest.hexdigest()


def _as_tensor(blob: bytes) -> Tensor:
    return torch.frombuffer(bytearray(blob), dtype=torch.uint8)
