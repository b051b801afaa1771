"""Whatever is no model file is refused with a sentence of its own, before memory is taken."""

import json
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from gnn import storage
from gnn.storage import container, described_model
from gnn.storage.quotation import quoted, reason_of
from tests.gnn.model_file_forgery import (
    SETTINGS,
    compressed_text,
    described,
    description,
    forge,
    opened,
    refusal,
    save_spline,
)

OLD_HEADER = {"version": "1", "model": "spline", "settings": SETTINGS, "task": "x", "tensors": {}, "sha256": "0" * 64}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return save_spline(tmp_path / "model.safetensors")


def test_an_unchanged_file_signed_again_is_the_same_file(saved: Path) -> None:
    content = saved.read_bytes()
    forge(saved)
    assert saved.read_bytes() == content
    storage.load(saved)


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path / "missing") == "cannot be read (No such file or directory); save the model again"
    assert refusal(tmp_path) == "is not a file; give the path of a saved model"
    os.mkfifo(tmp_path / "pipe")
    assert refusal(tmp_path / "pipe") == "is not a file; give the path of a saved model"


def test_truncated_files_are_refused(saved: Path) -> None:
    content = saved.read_bytes()
    sentences = set()
    for length in (*range(40), *range(40, len(content), 37), len(content) - 1):
        saved.write_bytes(content[:length])
        sentence = refusal(saved)
        assert "is cut off" in sentence
        sentences.add(sentence.partition("after")[0])
    assert {sentence.partition("(")[0] for sentence in sentences} == {
        "is cut off ",
        "is cut off within its header, ",
        "is cut off or damaged: header and data do not fit ",
    }
    saved.write_bytes(content + b"\0")
    assert refusal(saved).startswith("is cut off or damaged: header and data do not fit (")


def test_flipped_bits_are_refused(saved: Path) -> None:
    content = saved.read_bytes()
    generator = np.random.default_rng(0)
    for position in [*range(64), *generator.choice(len(content) * 8, size=300, replace=False).tolist()]:
        flipped = bytearray(content)
        flipped[position // 8] ^= 1 << position % 8
        saved.write_bytes(flipped)
        refusal(saved)
    flipped = bytearray(content)
    flipped[-1] ^= 1
    saved.write_bytes(flipped)
    assert refusal(saved) == "is damaged: its content does not match its sha256; save the model again"


def test_an_oversized_header_or_file_is_refused(saved: Path) -> None:
    content = saved.read_bytes()
    for length in (2**16 + 1, 2**40, 2**64 - 1):
        saved.write_bytes(length.to_bytes(8, "little") + content[8:])
        assert refusal(saved) == f"claims a header of {length} bytes; at most 65536 are read"
    with saved.open("wb") as file:
        file.truncate(2**40)
    assert refusal(saved) == "is damaged or no safetensors file: its header cannot be read; save it again"
    with saved.open("wb") as file:
        file.write((2**30).to_bytes(8, "little"))
        file.truncate(2**40)
    assert refusal(saved) == f"claims a header of {2**30} bytes; at most {2**26} are read"


@pytest.mark.parametrize("header", [b"not json at all!", b"{" * 16, b"[" * 60000, b"[1, 2]", b"9" * 6000, b"\xff" * 9])
def test_a_header_that_is_none_is_refused(tmp_path: Path, header: bytes) -> None:
    (tmp_path / "m").write_bytes(len(header).to_bytes(8, "little") + header + b"data")
    assert refusal(tmp_path / "m").startswith("is damaged or no safetensors file: its header cannot be read")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float8_e4m3fn, torch.bool, torch.uint8])
def test_a_safetensors_file_of_somebody_else_is_refused(tmp_path: Path, dtype: torch.dtype) -> None:
    for metadata in (None, {"format": "pt"}, {"gnn-compression": "[]"}, {"gnn-compression": "{"}):
        save_file({"weight": torch.zeros(3).to(dtype)}, tmp_path / "m", metadata)
        assert refusal(tmp_path / "m") == "is a safetensors file, but not of the format 'gnn-compression'"


def test_other_versions_are_refused(saved: Path) -> None:
    for version in ("1", "4", None, 2, ["2"]):
        forge(saved, {"version": version})
        sentence = f"is of format 'gnn-compression' version {version!r}; this library reads versions '2' and '3'"
        assert refusal(saved) == sentence
    save_file(
        {"conv1.bias/values": torch.zeros(3, dtype=torch.uint8)}, saved, {"gnn-compression": json.dumps(OLD_HEADER)}
    )
    assert refusal(saved) == "is of format 'gnn-compression' version '1'; this library reads versions '2' and '3'"


def test_pickles_are_not_loaded(tmp_path: Path) -> None:
    torch.save({"net": torch.zeros(3)}, tmp_path / "m")
    assert refusal(tmp_path / "m").startswith("claims a header of ")


@pytest.mark.parametrize("digest", [None, "", "0" * 63, "G" * 64, 4])
def test_a_file_without_a_checksum_is_refused(saved: Path, digest: object) -> None:
    metadata, blobs = opened(saved)
    text = json.dumps({**metadata, "sha256": digest})
    tensors = {name: torch.frombuffer(bytearray(blob), dtype=torch.uint8) for name, blob in blobs.items()}
    save_file(tensors, saved, {"gnn-compression": text})
    assert refusal(saved) == "is damaged: it has no sha256; save the model again"


def test_quotations_fit_into_a_sentence() -> None:
    nested: list[object] = []
    for _ in range(5000):
        nested = [nested]
    assert quoted(nested) == "a deeply nested list"
    assert quoted("a\nb") == r"'a\nb'"
    assert len(quoted(["long"] * 900)) < 130
    assert reason_of(ValueError("one line\nanother")) == "one line"
    assert len(reason_of(ValueError("long" * 900))) < 250


def test_bombs_take_no_memory(saved: Path) -> None:
    tensors = description(opened(saved)[0])
    content = saved.read_bytes()
    bombs = (
        {"tensors": described({**tensors, "conv1.weight": ["float32", [2, 2**38, 4], 8]})},
        {"settings": {**SETTINGS, "in_channels": 2**20, "hidden_channels": 2**20}},
        {"model": "gin", "settings": {"in_channels": 9, "out_channels": 2, "layers": 2**19}},
        {"tensors": compressed_text(bytes(2**24))},
    )
    for bomb in bombs:
        saved.write_bytes(content)
        forge(saved, bomb)
        refusal(saved)
        tracemalloc.start()
        refusal(saved)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2**26, bomb
    assert max(container.HEADER_BYTES, container.DESCRIPTION_BYTES, described_model.STATE_BYTES) <= 2**26
