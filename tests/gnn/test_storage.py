"""A model file gives back every bit, or one sentence that says why not."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from gnn import storage
from gnn.compression import GlobalMagnitude, compress
from gnn.errors import StorageError, UnknownNameError
from gnn.models import GraphModel, build_model, settings_mapping
from gnn.storage.model_file import container_bytes

SETTINGS = {"in_channels": 9, "out_channels": 3, "hidden_channels": 4}
LOAD_IN_ANOTHER_PROCESS = """
import sys
from pathlib import Path
from gnn.storage import load
loaded = load(Path(sys.argv[1]))
print(loaded.model_name, loaded.task, sum(p.double().sum().item() for p in loaded.model.parameters()))
"""


def bits(tensor: Tensor) -> bytes:
    return tensor.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes()


def assert_same_bits(one: nn.Module, other: nn.Module) -> None:
    assert one.state_dict().keys() == other.state_dict().keys()
    for name, tensor in one.state_dict().items():
        found = other.state_dict()[name]
        assert (found.shape, found.dtype, bits(found)) == (tensor.shape, tensor.dtype, bits(tensor)), name


@pytest.fixture
def model() -> GraphModel:
    torch.manual_seed(0)
    model = build_model("spline", SETTINGS)
    compress(model, GlobalMagnitude(0.8))
    return model


@pytest.fixture
def saved(model: GraphModel, tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    storage.save(model, path, model_name="spline", task="planted-x")
    return path


@pytest.mark.parametrize("special", [-0.0, math.nan, math.inf, 1e-45, 0.0, 1.5])
def test_a_model_survives_bit_for_bit(model: GraphModel, tmp_path: Path, special: float) -> None:
    with torch.no_grad():
        model.get_parameter("conv1.weight").flatten()[:50] = special
        model.get_parameter("conv2.bias").fill_(special)
    storage.save(model, tmp_path / "m", model_name="spline", task="planted-x")
    loaded = storage.load(tmp_path / "m")
    assert_same_bits(model, loaded.model)
    assert (loaded.model_name, loaded.task) == ("spline", "planted-x")
    assert loaded.model.settings == model.settings
    assert not loaded.model.training


def test_the_file_is_safetensors_and_says_what_it_is(model: GraphModel, saved: Path) -> None:
    with safe_open(saved, framework="pt") as file:
        metadata, keys = file.metadata(), set(file.keys())
        assert all(file.get_tensor(key).dtype == torch.uint8 for key in keys)
    assert metadata.keys() == {"gnn-compression"}
    header = json.loads(metadata["gnn-compression"])
    assert (header["version"], header["model"], header["task"]) == ("1", "spline", "planted-x")
    assert header["settings"] == settings_mapping(model)
    assert header["tensors"].keys() == model.state_dict().keys()
    assert len(header["sha256"]) == 64
    assert {key.rpartition("/")[0] for key in keys} == set(model.state_dict())


def test_the_size_is_that_of_the_file(model: GraphModel, tmp_path: Path) -> None:
    path = tmp_path / "m"
    sizes = {storage.save(model, path, model_name="spline", task="planted-x") for _ in range(5)}
    assert sizes == {path.stat().st_size}


def test_saving_twice_writes_the_same_bytes(model: GraphModel, tmp_path: Path) -> None:
    contents = set()
    for _ in range(5):
        storage.save(model, tmp_path / "m", model_name="spline", task="planted-x")
        contents.add((tmp_path / "m").read_bytes())
    assert len(contents) == 1


def test_loading_needs_nothing_but_the_file(model: GraphModel, saved: Path) -> None:
    command = [sys.executable, "-c", LOAD_IN_ANOTHER_PROCESS, str(saved)]
    result = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    expected = sum(parameter.double().sum().item() for parameter in model.parameters())
    assert result.stdout == f"spline planted-x {expected}\n"


def test_saving_under_an_unknown_model_name_is_refused(model: GraphModel, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"^unknown model 'splin'; valid are: "):
        storage.save(model, tmp_path / "m", model_name="splin", task="x")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_save_leaves_the_old_file(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = saved.read_bytes()
    unsupported = build_model("spline", SETTINGS).double()
    with pytest.raises(StorageError, match=r"^tensors of type torch\.float64 cannot be stored"):
        storage.save(unsupported, saved, model_name="spline", task="x")

    def no_space(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OSError, match="No space left"):
        storage.save(build_model("spline", SETTINGS), saved, model_name="spline", task="x")
    assert saved.read_bytes() == old
    assert list(saved.parent.iterdir()) == [saved]


def refusal(path: Path, content: bytes, model: GraphModel) -> str:
    """The sentence a file is refused with; a file that is not refused must hold the very same model."""
    path.write_bytes(content)
    try:
        loaded = storage.load(path)
    except StorageError as error:
        return str(error)
    assert_same_bits(model, loaded.model)
    return ""


def assert_refused(path: Path, content: bytes, model: GraphModel) -> None:
    sentence = refusal(path, content, model)
    assert sentence.startswith(f"{path} ")
    assert "\n" not in sentence


def test_truncated_files_are_refused(model: GraphModel, saved: Path, tmp_path: Path) -> None:
    content = saved.read_bytes()
    for length in range(0, len(content), 97):
        assert_refused(tmp_path / "cut", content[:length], model)
    assert_refused(tmp_path / "cut", content[:-1], model)
    assert_refused(tmp_path / "long", content + b"\0", model)


def test_flipped_bits_are_refused(model: GraphModel, saved: Path, tmp_path: Path) -> None:
    content = saved.read_bytes()
    generator = np.random.default_rng(0)
    positions = generator.choice(len(content) * 8, size=400, replace=False).tolist()
    for position in [*range(64), *positions]:
        flipped = bytearray(content)
        flipped[position // 8] ^= 1 << position % 8
        assert_refused(tmp_path / "flipped", bytes(flipped), model)


@pytest.mark.parametrize("content", [b"", b"\0", b"not a model file at all", b"\x10" + b"\0" * 7 + b"{" * 16])
def test_what_is_no_model_file_is_refused(tmp_path: Path, model: GraphModel, content: bytes) -> None:
    assert_refused(tmp_path / "file", content, model)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path):
        with pytest.raises(StorageError, match="is not a readable model file"):
            storage.load(path)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float8_e4m3fn, torch.bool])
def test_a_safetensors_file_of_somebody_else_is_refused(tmp_path: Path, dtype: torch.dtype) -> None:
    save_file({"weight": torch.zeros(3).to(dtype)}, tmp_path / "file")
    with pytest.raises(StorageError, match="a safetensors file, but not of the format 'gnn-compression'"):
        storage.load(tmp_path / "file")


def header_of(path: Path) -> dict[str, Any]:
    with safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()["gnn-compression"])


def sign_again(path: Path, change: dict[str, Any], drop: str | None = None) -> None:
    """Change what a file says and give it a checksum that fits, as a tool with an error in it could."""
    header = {**header_of(path), **change}
    header.pop("sha256")
    with safe_open(path, framework="pt") as file:
        blobs = {key: file.get_tensor(key).numpy().tobytes() for key in file.keys() if key != drop}  # noqa: SIM118
    path.write_bytes(container_bytes(header, blobs))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"version": "2"}, "is of format 'gnn-compression' version '2'; this library reads version '1'"),
        ({"model": "splin"}, r"does not describe a model of this library \(unknown model 'splin'; valid are: "),
        ({"model": ["spline"]}, "does not describe a model of this library"),
        ({"settings": "{"}, "does not describe a model of this library"),
        ({"settings": [1]}, "does not describe a model of this library"),
        ({"settings": {"in_channels": 9}}, "settings of model 'spline' do not fit"),
        ({"settings": {**SETTINGS, "kernel_size": 0}}, "kernel_size"),
        ({"settings": {**SETTINGS, "in_channels": 8}}, r"tensor 'conv1\.(lin\.)?weight' is"),
        ({"settings": {**SETTINGS, "in_channels": 2**40}}, "its settings ask for more than"),
        ({"tensors": {}}, "is missing in the file or unknown to the model"),
        ({"tensors": []}, "does not describe a model of this library"),
        ({"tensors": {"conv1.bias": 4}}, "the tensor description 4 is not one of this format"),
    ],
)
def test_a_file_that_describes_no_model_is_refused(saved: Path, change: dict[str, Any], sentence: str) -> None:
    sign_again(saved, change)
    with pytest.raises(StorageError, match=sentence) as caught:
        storage.load(saved)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [2, 2]},
        {"shape": [-4]},
        {"shape": [2**40]},
        {"shape": None},
        {"dtype": "int64"},
        {"dtype": "float16"},
        {"codec": "masked"},
        {"codec": "zip"},
    ],
)
def test_a_wrong_tensor_description_is_refused(saved: Path, change: dict[str, Any]) -> None:
    tensors = header_of(saved)["tensors"]
    tensors["conv1.bias"] |= change
    sign_again(saved, {"tensors": tensors})
    with pytest.raises(StorageError) as caught:
        storage.load(saved)
    assert "\n" not in str(caught.value)


def test_a_missing_blob_is_refused(saved: Path) -> None:
    sign_again(saved, {}, drop="conv1.bias/values")
    with pytest.raises(StorageError, match="does not describe a model of this library"):
        storage.load(saved)


def test_an_unchanged_file_signed_again_is_accepted(saved: Path, model: GraphModel) -> None:
    sign_again(saved, {})
    assert_same_bits(model, storage.load(saved).model)
