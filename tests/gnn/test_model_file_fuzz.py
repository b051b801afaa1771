"""Nine thousand damaged and forged files: each is refused with one sentence or is the very same model."""

import contextlib
import copy
import random
import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
import torch
from zstandard import ZstdError

from gnn import storage
from gnn.compression import FineGrained, compress
from gnn.errors import StorageError
from gnn.models import build_model, settings_mapping
from gnn.models.gnnnet import GnnNet, GnnNetSettings
from gnn.quantization.description import Quantization, empty_integer_model
from gnn.storage import LoadedModel
from gnn.tensor_bytes import tensor_bytes
from tests.gnn.model_file_forgery import Metadata, described, description, opened, signed

DAMAGED, FORGED = 3_000, 500
MOST_MEMORY_BYTES = 2**28
OWN = "built by the user"
MODELS: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("spline", {"in_channels": 40, "out_channels": 3, "hidden_channels": 4}, "fp32"),
    ("spline", {"in_channels": 40, "out_channels": 3, "hidden_channels": 4}, "int8"),
    ("gin", {"in_channels": 3, "out_channels": 2, "hidden_channels": 6, "layers": 2}, "int4"),
    ("ness", {"in_channels": 50, "channels": 4}, "fp16"),
    ("hgpsl", {"in_channels": 3, "out_channels": 2, "hidden_channels": 8}, "int8"),
    (OWN, {"width": 5}, "int8"),
    (OWN, {"width": 5, "bits": 4}, "fp32"),
)
# What a careless or a malicious writer might put where anything is expected.
ODD_VALUES = (
    *(None, True, -1, 0, 1, 7, 2**20, 2**31, 2**63, -(2**70), 1e308, -0.5, float("nan")),
    *("", "spline", "gin", "fp16", "int4", "zstd", "lzma", "stored", "bits+zstd", "gaps+lzma", "\x00\ud7ff", "a" * 300),
    *([], [2**40], [[]], [3, 3], {}, {"a": 1}, {"in_channels": 2**19}, {"a\nb": 2**40}, ["long"] * 900, 7**4700),
    # Three keys, which unpack as a description does.
    {"a": 1, "": 2, "c": 3},
    # As deep as JSON can be read.
    reduce(lambda inner, _: [inner], range(850), []),
)


@dataclass(frozen=True)
class Original:
    """A file, and what has to come out of it."""

    content: bytes
    metadata: Metadata
    blobs: dict[str, bytes]
    state: dict[str, bytes]

    @classmethod
    def saved(cls, name: str, settings: dict[str, Any], precision: str, path: Path) -> "Original":
        torch.manual_seed(0)
        model = build_model(name, settings) if name != OWN else OwnNet(settings["width"])
        model = compress(model, FineGrained(0.7)).model
        if "bits" in settings:
            model = empty_integer_model(model, Quantization("range", settings["bits"]))
        storage.save(model, path, model_name=None if name == OWN else name, task="planted-x", precision=precision)
        return cls(path.read_bytes(), *opened(path), bits(load(path)))


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> list[Original]:
    path = tmp_path_factory.mktemp("originals") / "model"
    return [Original.saved(name, settings, precision, path) for name, settings, precision in MODELS]


class OwnNet(GnnNet):
    """A model that is not registered; its files are of narrower ones."""

    def __init__(self, width: Any = 7) -> None:  # noqa: ANN401
        super().__init__(GnnNetSettings(in_channels=4, out_channels=2, hidden_channels=width, layers=2))


def load(path: Path) -> LoadedModel:
    """A registered model, or what is read into one of the user's."""
    try:
        return storage.load(path)
    except StorageError as error:
        if "which this library does not build" not in str(error):
            raise
    return storage.load(path, build=OwnNet)


def bits(loaded: LoadedModel) -> dict[str, bytes]:
    return {name: tensor_bytes(tensor).tobytes() for name, tensor in loaded.model.state_dict().items()}


def load_or_refuse(path: Path, content: bytes) -> LoadedModel | None:
    """What a file gives; None when it is refused as it should be. Every other error fails the test."""
    path.write_bytes(content)
    try:
        return load(path)
    except StorageError as error:
        sentence = str(error)
        assert sentence.startswith(f"{path} ")
        assert "\n" not in sentence
        assert len(sentence) < 1000
        return None


def flip(content: bytes, _other: bytes, draw: random.Random) -> bytes:
    damaged = bytearray(content)
    for _ in range(draw.choice((1, 1, 1, 2, 5, 40))):
        damaged[draw.randrange(len(damaged))] ^= 1 << draw.randrange(8)
    return bytes(damaged)


def flip_header(content: bytes, other: bytes, draw: random.Random) -> bytes:
    end = 8 + int.from_bytes(content[:8], "little")
    return flip(content[:end], other, draw) + content[end:]


def overwrite(content: bytes, _other: bytes, draw: random.Random) -> bytes:
    start, count = draw.randrange(len(content)), draw.choice((1, 4, 8, 100))
    return content[:start] + draw.randbytes(min(count, len(content) - start)) + content[start + count :]


def cut(content: bytes, _other: bytes, draw: random.Random) -> bytes:
    return content[: draw.randrange(len(content))]


def cut_out(content: bytes, _other: bytes, draw: random.Random) -> bytes:
    start, end = sorted(draw.randrange(len(content) + 1) for _ in range(2))
    return content[:start] + content[end:]


def extend(content: bytes, other: bytes, draw: random.Random) -> bytes:
    return content + draw.choice((b"\0", other, draw.randbytes(9)))


def splice(content: bytes, other: bytes, draw: random.Random) -> bytes:
    return content[: draw.randrange(len(content))] + other[draw.randrange(len(other)) :]


def claim(content: bytes, _other: bytes, draw: random.Random) -> bytes:
    length = draw.choice((0, 1, len(content), 2**16, 2**16 + 1, 2**31, 2**63, draw.randrange(3000)))
    return length.to_bytes(8, "little") + content[8:]


DAMAGES: tuple[Callable[[bytes, bytes, random.Random], bytes], ...] = (
    *(flip, flip_header, flip_header, overwrite, cut, cut_out, extend, splice, claim),
)


def change_field(metadata: Metadata, _blobs: dict[str, bytes], draw: random.Random) -> None:
    metadata[draw.choice(sorted(metadata))] = draw.choice(ODD_VALUES)


def change_setting(metadata: Metadata, _blobs: dict[str, bytes], draw: random.Random) -> None:
    settings = metadata["settings"]
    settings[draw.choice([*settings, "layers", "unheard-of"])] = draw.choice(ODD_VALUES)


def change_model(metadata: Metadata, _blobs: dict[str, bytes], draw: random.Random) -> None:
    name, settings, precision = draw.choice(MODELS)
    metadata |= {"model": name}
    if draw.random() < 0.7:
        metadata |= {"settings": settings_mapping(build_model(name, settings))}
    if draw.random() < 0.5:
        metadata |= {"precision": precision}


def change_tensors(metadata: Metadata, _blobs: dict[str, bytes], draw: random.Random) -> None:
    tensors: dict[str, Any] = description(metadata)
    name = draw.choice(sorted(tensors))
    kind = draw.randrange(4)
    if kind == 0:
        tensors.pop(name)
    elif kind == 1:
        tensors[draw.choice(("exp_avg", name))] = draw.choice(ODD_VALUES)
    elif kind == 2:
        tensors[name][draw.randrange(3)] = draw.choice(ODD_VALUES)
    else:
        tensors[name][1] = [draw.choice((0, 3, 2**20, 2**40, -1)) for _ in range(draw.randrange(4))]
    metadata["tensors"] = described(tensors)


def change_codec(metadata: Metadata, _blobs: dict[str, bytes], draw: random.Random) -> None:
    stream = draw.choice([*metadata["codecs"], "exp_avg"])
    metadata["codecs"][stream] = draw.choice(ODD_VALUES)


def change_blob(_metadata: Metadata, blobs: dict[str, bytes], draw: random.Random) -> None:
    name = draw.choice([name for name, blob in blobs.items() if blob])
    damage = draw.choice((flip, overwrite, cut, cut_out, extend, splice))
    blobs[name] = damage(blobs[name], draw.choice([blob for blob in blobs.values() if blob]), draw)


def store_blob(metadata: Metadata, blobs: dict[str, bytes], draw: random.Random) -> None:
    name = draw.choice(sorted(blobs))
    metadata["codecs"][name] = draw.choice(("stored", "bits+stored", "gaps+stored"))
    blobs[name] = draw.choice((b"\xff", b"\0", draw.randbytes(8))) * draw.randrange(200)


def move_blob(metadata: Metadata, blobs: dict[str, bytes], draw: random.Random) -> None:
    name = draw.choice(sorted(blobs))
    blob, codec = blobs.pop(name), metadata["codecs"].pop(name)
    if draw.random() < 0.7:
        target = draw.choice([*blobs, "exp_avg", "weights.high", "mask"])
        blobs[target], metadata["codecs"][target] = blob, codec


METADATA_FORGERIES = (change_field, change_setting, change_model, change_tensors)
FORGERIES = (*METADATA_FORGERIES, change_codec, change_blob, change_blob, store_blob, move_blob)


def test_damaged_files_are_refused(originals: list[Original], tmp_path: Path) -> None:
    draw, refused, unchanged = random.Random(0), 0, 0
    for _ in range(DAMAGED):
        original, other = draw.choice(originals), draw.choice(originals)
        content = draw.choice(DAMAGES)(original.content, other.content, draw)
        loaded = load_or_refuse(tmp_path / "m", content)
        if loaded is None:
            refused += 1
        else:
            # A cut of nothing, or random bytes that were there before.
            known = {file.content: file.state for file in originals}
            assert bits(loaded) == known[content]
            unchanged += 1
    assert refused + unchanged == DAMAGED
    assert unchanged < 50


def test_forged_files_with_a_fitting_checksum_are_refused_or_whole_models(
    originals: list[Original], tmp_path: Path
) -> None:
    draw, refused = random.Random(1), 0
    memory_before = peak_memory_bytes()
    for _ in range(FORGED):
        original = draw.choice(originals)
        metadata, blobs = copy.deepcopy(original.metadata), dict(original.blobs)
        forgeries = draw.choices(FORGERIES, k=draw.choice((1, 1, 1, 2, 3)))
        for forge in forgeries:
            # What one forgery broke another may be unable to change.
            with contextlib.suppress(TypeError, AttributeError, KeyError, ValueError, IndexError, ZstdError):
                forge(metadata, blobs, draw)
        loaded = load_or_refuse(tmp_path / "m", signed(metadata, blobs))
        if loaded is None:
            refused += 1
        elif "settings" in metadata and all(forge in METADATA_FORGERIES for forge in forgeries):
            # Other words about the same bytes never make other weights of them.
            assert bits(loaded) == original.state
        else:
            assert bits(loaded).keys() == original.state.keys()
    assert 0.5 * FORGED < refused < FORGED
    assert peak_memory_bytes() - memory_before < MOST_MEMORY_BYTES


def peak_memory_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def test_the_files_that_are_damaged_are_sound(originals: list[Original], tmp_path: Path) -> None:
    for original in originals:
        assert signed(original.metadata, original.blobs) == original.content
        loaded = load_or_refuse(tmp_path / "m", original.content)
        assert loaded is not None
        assert bits(loaded) == original.state
