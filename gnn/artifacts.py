"""Content-addressed tensors on disk: built once, shared by every worker, checked at every read."""

import contextlib
import hashlib
import json
import struct
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path

from filelock import FileLock, Timeout
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from gnn.atomic_file import AnyPath, write_atomically
from gnn.environment import environment
from gnn.errors import CacheError, GnnError
from gnn.turns import offer_turn

SHA256_BYTES = 32
LOCK_TIMEOUT_S = 0.2
# Version of what stands in a file; those of another one have other names and are not read.
FORMAT = 2
# Read raw files or take part in training; what they make may change with their version.
PACKAGES = ("numpy", "rdkit", "scipy", "torch-geometric")


class CorruptArtifactError(GnnError):
    """An artifact is not what its checksum or its key says."""


class CorruptArtifactWarning(UserWarning):
    """An artifact was not what its checksum or its key says; it is built again."""


@dataclass(frozen=True)
class Artifact:
    """Named tensors and a few facts about how they were made."""

    tensors: dict[str, Tensor]
    facts: dict[str, str] = field(default_factory=dict)


class ArtifactStore:
    """A folder of artifacts, each named by the sha256 of what determines it, its key.

    A file is the sha256 of its content followed by the content, a safetensors file whose metadata are the facts and the
    name; a file that is truncated, flipped or that of another key is reported with a `CorruptArtifactWarning` and built
    again. Raises `CacheError` when a file can be neither read nor written.
    """

    def __init__(self, folder: AnyPath) -> None:
        self.folder = Path(folder)

    def path(self, key: Mapping[str, object]) -> Path:
        """The file of an artifact; `key` holds all that determines it, as JSON values."""
        made_by = {"environment": environment(), "packages": _versions(), "format": FORMAT}
        text = json.dumps({**key, **made_by}, sort_keys=True)
        return self.folder / "artifacts" / f"{hashlib.sha256(text.encode()).hexdigest()}.artifact"

    def load_or_build(self, key: Mapping[str, object], build: Callable[[], Artifact]) -> Artifact:
        """Read the artifact, or build and write it; of several processes one builds and the others wait."""
        path = self.path(key)
        with locked_in_turn(path.with_suffix(".lock")):
            try:
                with _cache_errors(path):
                    if path.exists():
                        return read_artifact(path)
            except CorruptArtifactError as error:
                warnings.warn(f"{error}; it is built again", CorruptArtifactWarning, stacklevel=2)
            artifact = build()
            content = save(artifact.tensors, metadata={"facts": json.dumps(artifact.facts), "name": path.stem})
            with _cache_errors(path):
                write_atomically(path, hashlib.sha256(content).digest() + content)
            return artifact


@cache
def _versions() -> dict[str, str]:
    return {package: version(package) for package in PACKAGES}


@contextlib.contextmanager
def locked_in_turn(path: Path) -> Iterator[None]:
    """Hold the lock of a file in the cache, for which folders are made; raises `CacheError` when it cannot be had."""
    with _cache_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        # Whoever builds the artifact may be waiting for somebody who waits for this process to make way.
        while not lock.is_locked:
            try:
                lock.acquire(timeout=LOCK_TIMEOUT_S)
            except Timeout:
                offer_turn()
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _cache_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CacheError(
            f"{path} in the cache cannot be used ({error.strerror}); expected a regular file that this user may write "
            "to: remove it, let those who share the cache write to it (umask 002, chmod -R g+rwX), or name another "
            "folder with GNN_CACHE"
        ) from error


def read_artifact(path: Path) -> Artifact:
    """Read a file of the store, whole and of the key that it is named by; raises `CorruptArtifactError` otherwise."""
    content = path.read_bytes()
    digest, payload = content[:SHA256_BYTES], content[SHA256_BYTES:]
    try:
        if hashlib.sha256(payload).digest() != digest:
            raise ValueError("its content does not match its sha256")
        tensors = load(payload)
        header_size = struct.unpack("<Q", payload[:8])[0]
        metadata = json.loads(payload[8 : 8 + header_size])["__metadata__"]
        if metadata["name"] != path.stem:
            raise ValueError(f"it is that of another key, {metadata['name']}")
        facts = json.loads(metadata["facts"])
        if not isinstance(facts, dict):
            raise TypeError("its facts are no mapping")
    except (ValueError, KeyError, TypeError, RecursionError, SafetensorError) as error:
        raise CorruptArtifactError(f"artifact {path} is damaged ({error})") from error
    return Artifact(tensors, facts)
