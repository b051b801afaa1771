"""Content-addressed tensors on disk: built once, shared by every worker, checked at every read."""

import hashlib
import json
import struct
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock, Timeout
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from gnn.atomic_file import write_atomically
from gnn.environment import environment
from gnn.turns import offer_turn

SHA256_BYTES = 32
LOCK_TIMEOUT_S = 0.2
# Read raw files or take part in training; what they make may change with their version.
PACKAGES = ("numpy", "rdkit", "scipy", "torch-geometric")


class CorruptArtifactWarning(UserWarning):
    """An artifact was not what its checksum says; it is built again."""


@dataclass(frozen=True)
class Artifact:
    """Named tensors and a few facts about how they were made."""

    tensors: dict[str, Tensor]
    facts: dict[str, str] = field(default_factory=dict)


class ArtifactStore:
    """A folder of artifacts, each named by the sha256 of what determines it.

    A file is the sha256 of its content followed by the content, a safetensors file whose metadata are the
    facts; a truncated or flipped file is reported with a `CorruptArtifactWarning` and built again.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, key: Mapping[str, object]) -> Path:
        """The file of an artifact; `key` holds all that determines it, as JSON values."""
        packages = {package: version(package) for package in PACKAGES}
        text = json.dumps({**key, "environment": environment(), "packages": packages}, sort_keys=True)
        return self.folder / "artifacts" / f"{hashlib.sha256(text.encode()).hexdigest()}.artifact"

    def load_or_build(self, key: Mapping[str, object], build: Callable[[], Artifact]) -> Artifact:
        """Read the artifact, or build and write it; of several processes one builds and the others wait."""
        path = self.path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        with _waiting_in_turn(FileLock(path.with_suffix(".lock"))):
            if path.exists():
                try:
                    return _decode(path.read_bytes())
                except (ValueError, KeyError, SafetensorError) as error:
                    warnings.warn(
                        f"artifact {path} is damaged ({error}); it is built again",
                        CorruptArtifactWarning,
                        stacklevel=2,
                    )
            artifact = build()
            content = save(artifact.tensors, metadata={"facts": json.dumps(artifact.facts)})
            write_atomically(path, hashlib.sha256(content).digest() + content)
            return artifact


@contextmanager
def _waiting_in_turn(lock: FileLock) -> Iterator[None]:
    # Whoever builds the artifact may be waiting for somebody who waits for this process to make way.
    while True:
        try:
            lock.acquire(timeout=LOCK_TIMEOUT_S)
            break
        except Timeout:
            offer_turn()
    try:
        yield
    finally:
        lock.release()


def _decode(content: bytes) -> Artifact:
    digest, payload = content[:SHA256_BYTES], content[SHA256_BYTES:]
    if hashlib.sha256(payload).digest() != digest:
        raise ValueError("its content does not match its sha256")
    tensors = load(payload)
    header_size = struct.unpack("<Q", payload[:8])[0]
    metadata = json.loads(payload[8 : 8 + header_size])["__metadata__"]
    return Artifact(tensors, json.loads(metadata["facts"]))
