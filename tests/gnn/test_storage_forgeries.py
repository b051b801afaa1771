"""A file whose checksum fits but whose words or streams do not is refused with a sentence of its own."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from gnn import storage
from gnn.compression import Structured, compress
from gnn.models import build_model
from gnn.storage.float_bytes import split_floats
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
from tests.gnn.toy_quantization import initial_model, task_for, tasks_of_every_kind, toy_context


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return save_spline(tmp_path / "model.safetensors")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"model": "splin"}, "is of model 'splin', which this library does not know; valid are: "),
        ({"model": ["spline"]}, "says nothing valid about its 'model': ['spline']"),
        ({"task": None}, "says nothing valid about its 'task': None"),
        (
            {"precision": "int5"},
            "is stored as 'int5', which this library does not know; valid are: fp16, fp32, int4, int8",
        ),
        ({"precision": "int4"}, "describes tensor 'conv1.weight' as ['float32', [2, 9, 4], 8], its model's is "),
        ({"settings": "{"}, "says nothing valid about its 'settings': '{'"),
        (
            {"settings": {"in_channels": 9}},
            "has settings that make no model 'spline' (settings of model 'spline' do not",
        ),
        ({"settings": {**SETTINGS, "kernel_size": 0}}, "has settings that make no model 'spline' (sizes of SplineNet"),
        (
            {"settings": {**SETTINGS, "dropout": {}}},
            "has settings that make no model 'spline' (settings of model 'spline' do not fit: '<=' not supported",
        ),
        ({"settings": {**SETTINGS, "in_channels": 8}}, "describes tensor 'conv1.weight' as "),
        ({"settings": {**SETTINGS, "in_channels": 2**40}}, f"has a setting 'in_channels' of {2**40}; at most"),
        ({"settings": {**SETTINGS, "in_channels": [2**40]}}, f"has a setting 'in_channels' of {2**40}; at most"),
        ({"settings": {**SETTINGS, "in_channels": 2**20, "hidden_channels": 16}}, "has settings that ask for 201"),
        ({"model": "gin", "settings": {"in_channels": 9, "out_channels": 2}}, "describes 10 tensors, but its settings"),
        ({"model": "gin", "settings": {"in_channels": 9, "out_channels": 2, "layers": 2**20}}, "describes 10 tensors,"),
        ({"model": "ness", "settings": {"in_channels": 9}}, "describes other tensors than its model has: 'conv1.bias'"),
        ({"tensors": ""}, "has a description of its tensors that cannot be decompressed ("),
        ({"tensors": "$"}, "has a description of its tensors that cannot be read"),
        ({"tensors": described([])}, "has a description of its tensors that is none"),
        ({"tensors": compressed_text(b"{")}, "has a description of its tensors that cannot be read"),
        ({"tensors": compressed_text(bytes(2**19))}, f"has a description of its tensors that promises {2**19} bytes"),
        ({"tensors": described({})}, "describes 0 tensors, but its settings ask for more"),
        ({"codecs": []}, "says nothing valid about its 'codecs': []"),
        ({"codecs": ["codes=zstd"]}, "says nothing valid about its 'codecs': ['codes=zstd']"),
        ({"codecs": "codes"}, "holds the streams ['codes', 'floats.high', "),
        ({"codecs": {"codes": "zstd"}}, "holds the streams ['codes', 'floats.high', "),
    ],
)
def test_a_file_that_describes_no_model_is_refused(saved: Path, change: dict[str, Any], sentence: str) -> None:
    forge(saved, change)
    assert refusal(saved).startswith(sentence)


@pytest.mark.parametrize(
    ("tensor", "sentence"),
    [
        (["float32", [4, 1], 32], "describes tensor 'conv1.bias' as ['float32', [4, 1], 32], its model's is "),
        (["int64", [4], 64], "describes tensor 'conv1.bias' as ['int64', [4], 64], its model's is "),
        (["float32", [4], 8], "describes tensor 'conv1.bias' as ['float32', [4], 8], its model's is "),
        (
            ["float32", [2**40], 32],
            f"describes tensor 'conv1.bias' as ['float32', [{2**40}], 32]; no model here is that large",
        ),
        (["float32", [-4], 32], "describes tensor 'conv1.bias' as ['float32', [-4], 32], which is no tensor"),
        (["float32", [4]], "describes tensor 'conv1.bias' as ['float32', [4]], which is no tensor"),
        (["float32", None, 32], "describes tensor 'conv1.bias' as ['float32', None, 32], which is no tensor"),
        (None, "describes tensor 'conv1.bias' as None, which is no tensor"),
    ],
)
def test_a_wrong_description_of_a_tensor_is_refused(saved: Path, tensor: object, sentence: str) -> None:
    forge(saved, {"tensors": described({**description(opened(saved)[0]), "conv1.bias": tensor})})
    assert refusal(saved).startswith(sentence)


def test_tensors_too_many_and_too_few_are_refused(saved: Path) -> None:
    tensors = description(opened(saved)[0])
    forge(saved, {"tensors": described({**tensors, "exp_avg": ["float32", [64, 64], 32]})})
    assert refusal(saved) == "describes other tensors than its model has: 'exp_avg' is missing or too many"
    forge(
        saved, {"tensors": described({name: tensor for name, tensor in tensors.items() if name != "conv1.kernel_size"})}
    )
    assert refusal(saved) == "describes other tensors than its model has: 'conv1.kernel_size' is missing or too many"


def test_streams_too_many_and_too_few_are_refused(saved: Path) -> None:
    content, codecs = saved.read_bytes(), opened(saved)[0]["codecs"]
    forge(saved, blobs={"exp_avg": bytes(100)})
    assert refusal(saved).startswith("holds the streams ['codes', 'exp_avg', 'floats.high', ")
    for name in ("exp_avg", "weights.high"):
        saved.write_bytes(content)
        forge(saved, {"codecs": {**codecs, name: "stored"}}, {name: bytes(100)})
        assert f"'{name}'" in refusal(saved)
        assert refusal(saved).endswith("'scales.high', 'scales.low']")
    for name in codecs:
        saved.write_bytes(content)
        forge(saved, {"codecs": {key: codec for key, codec in codecs.items() if key != name}}, {name: None})
        assert refusal(saved).startswith("holds the streams [")


@pytest.mark.parametrize(
    ("stream", "codec", "blob", "sentence"),
    [
        ("codes", "stored", b"\xff" * 58, "holds a code outside -127 to 127"),
        ("codes", "stored", b"\x01" * 57, "has a stream 'codes' of 57 bytes where 58 belong"),
        ("codes", "stored", b"\x01" * 59, "has a stream 'codes' that has 59 bytes where at most 58 belong"),
        ("codes", "gzip", b"", "has a stream 'codes' that is compressed with 'gzip'; valid are: lzma, stored, zstd"),
        ("codes", "zstd", b"\x00", "has a stream 'codes' that cannot be decompressed ("),
        ("codes", "lzma", b"\x00" * 9, "has a stream 'codes' that cannot be decompressed ("),
        ("mask", "gaps+stored", b"\xff" * 151, "has a stream 'mask' that names element 38504 of 151"),
        ("mask", "bits+stored", b"\xff" * 19, "has a stream 'codes' of 58 bytes where 144 belong"),
        ("mask", "bits+stored", b"\xff" * 9, "has a stream 'mask' that has 72 bits for 151 elements"),
        ("mask", "runs+stored", b"\xff" * 9, "has a stream 'mask' that is encoded as 'runs'; valid are: bits, gaps"),
    ],
)
def test_streams_that_do_not_fit_are_refused(saved: Path, stream: str, codec: str, blob: bytes, sentence: str) -> None:
    codecs = opened(saved)[0]["codecs"]
    forge(saved, {"codecs": {**codecs, "codes": "stored", stream: codec}}, {"codes": b"\x01" * 58, stream: blob})
    assert refusal(saved).startswith(sentence)


def test_scales_and_weights_that_are_no_numbers_are_refused(saved: Path) -> None:
    codecs = opened(saved)[0]["codecs"]
    high, low = split_floats(np.full(14, 0x7F80, dtype=np.uint16))
    forge(
        saved,
        {"codecs": {**codecs, "scales.high": "stored", "scales.low": "stored"}},
        {"scales.high": high, "scales.low": low},
    )
    assert refusal(saved) == "tensor 'conv1.weight' holds a scale that is not a finite number from 0 on"
    model = build_model("spline", SETTINGS)
    storage.save(model, saved, model_name="spline", task="x", precision="fp16")
    size = opened(saved)[1]["weights.low"]
    codecs = opened(saved)[0]["codecs"]
    forge(saved, {"codecs": {**codecs, "weights.high": "stored"}}, {"weights.high": b"\xff" * len(size)})
    assert refusal(saved) == "tensor 'conv1.weight' holds numbers that are not finite in FP16; fp32 keeps every bit"


def test_blobs_that_are_no_bytes_are_refused(saved: Path) -> None:
    metadata, blobs = opened(saved)
    tensors = {name: torch.frombuffer(bytearray(blob), dtype=torch.uint8) for name, blob in blobs.items()}
    for wrong in (torch.zeros(3), torch.zeros(3, 3, dtype=torch.uint8)):
        save_file({**tensors, "codes": wrong}, saved, {"gnn-compression": json.dumps(metadata)})
        assert refusal(saved) == "holds tensors that are no streams of bytes"


def test_narrow_tensors_do_not_hide_settings_that_ask_for_more_memory_than_a_file_may(tmp_path: Path) -> None:
    path = tmp_path / "m"
    task = task_for("graphconv", tasks_of_every_kind())
    context = toy_context("graphconv", task, tmp_path)
    storage.save(compress(initial_model("graphconv", task), Structured(0.5), context).model, path)
    assert storage.load(path).model.state_dict()["conv1.lin.weight"].shape == (8, 80)
    settings = opened(path)[0]["settings"]
    forge(path, {"settings": {**settings, "hidden_channels": 2**20, "in_channels": 2**20}})
    assert refusal(path).startswith("has settings that ask for ")
    forge(path, {"settings": {**settings, "hidden_channels": 2}})
    assert refusal(path).startswith("holds tensor 'conv1.bias' as ['float32', [8]], which does not fit into ")
