"""Model files taken apart, changed and signed again, as somebody who knows the format could."""

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zstandard
from safetensors import safe_open
from safetensors.numpy import save as safetensors_bytes

from gnn import storage
from gnn.compression import GlobalMagnitude, compress
from gnn.errors import StorageError
from gnn.models import build_model

Metadata = dict[str, Any]
SETTINGS = {"in_channels": 9, "out_channels": 3, "hidden_channels": 4}
MAGICLESS = zstandard.FORMAT_ZSTD1_MAGICLESS


def opened(path: Path) -> tuple[Metadata, dict[str, bytes]]:
    """Metadata, with its codecs by stream, and blobs of a file, read by safetensors alone."""
    with safe_open(path, framework="np") as file:
        blobs = {key: file.get_tensor(key).tobytes() for key in file.keys()}  # noqa: SIM118
        metadata = json.loads(file.metadata()["gnn-compression"])
    metadata["codecs"] = dict(entry.split("=") for entry in metadata["codecs"].split())
    return metadata, blobs


def signed(metadata: Metadata, blobs: dict[str, bytes]) -> bytes:
    """A file with a checksum that fits: that of the file with 64 zeros in its place."""
    codecs = metadata.get("codecs")
    if isinstance(codecs, dict):
        metadata = {**metadata, "codecs": " ".join(f"{name}={codec}" for name, codec in codecs.items())}
    text = json.dumps({**metadata, "sha256": "0" * 64}, separators=(",", ":"))
    arrays = {name: np.frombuffer(blob, dtype=np.uint8) for name, blob in blobs.items()}
    unsigned = safetensors_bytes(arrays, {"gnn-compression": text})
    assert unsigned.count(b"0" * 64) == 1
    return unsigned.replace(b"0" * 64, hashlib.sha256(unsigned).hexdigest().encode())


def description(metadata: Metadata) -> Metadata:
    """What a file says of its tensors: type, shape and bits by name."""
    compressed = base64.b64decode(metadata["tensors"])
    return json.loads(zstandard.ZstdDecompressor(format=MAGICLESS).decompress(compressed))


def described(content: object) -> str:
    """The same as it stands in a file."""
    return compressed_text(json.dumps(content).encode())


def compressed_text(content: bytes) -> str:
    """Bytes as zstd in base64."""
    parameters = zstandard.ZstdCompressionParameters(format=MAGICLESS, write_content_size=True)
    return base64.b64encode(zstandard.ZstdCompressor(compression_params=parameters).compress(content)).decode()


def save_spline(path: Path) -> Path:
    """An INT8 file of a small SplineNet; 58 of its 144 weights and all of its 7 other numbers are not zero."""
    torch.manual_seed(0)
    model = build_model("spline", SETTINGS)
    model = compress(model, GlobalMagnitude(0.6)).model
    with torch.no_grad():
        for name in ("conv1.bias", "conv2.bias"):
            model.get_parameter(name).uniform_(0.1, 0.2)
    storage.save(model, path, model_name="spline", task="planted-x", precision="int8")
    return path


def refusal(path: Path) -> str:
    """The sentence after the path."""
    with pytest.raises(StorageError) as caught:
        storage.load(path)
    sentence = str(caught.value)
    assert sentence.startswith(f"{path} ")
    assert "\n" not in sentence
    return sentence.removeprefix(f"{path} ")


def forge(
    path: Path, change: dict[str, Any] | None = None, blobs: Mapping[str, bytes | memoryview | None] | None = None
) -> None:
    """Change what a file says and holds, with a checksum that fits; a blob that is None is dropped."""
    metadata, found = opened(path)
    changed = {**found, **(blobs or {})}
    path.write_bytes(signed({**metadata, **(change or {})}, {k: v for k, v in changed.items() if v is not None}))
