"""A model file gives back every bit, or what its precision makes of them."""

import copy
import math
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import nn

from gnn import storage
from gnn.compression import GlobalMagnitude, compress
from gnn.compression.prunable import prunable_parameters
from gnn.errors import StorageError, UnknownNameError
from gnn.models import GraphModel, build_model, settings_mapping
from gnn.storage import described_model
from gnn.tensor_bytes import tensor_bytes
from tests.gnn.model_file_forgery import description, opened

SETTINGS = {"in_channels": 9, "out_channels": 3, "hidden_channels": 4}
LOSSY = ("fp16", "int8", "int4")


def assert_same_bits(state: dict[str, torch.Tensor], other: nn.Module) -> None:
    assert state.keys() == other.state_dict().keys()
    for name, tensor in state.items():
        found = other.state_dict()[name]
        assert (found.shape, found.dtype) == (tensor.shape, tensor.dtype), name
        assert tensor_bytes(found).tobytes() == tensor_bytes(tensor).tobytes(), name


def new_model(sparsity: float = 0.8) -> GraphModel:
    torch.manual_seed(0)
    model = build_model("spline", SETTINGS)
    return compress(model, GlobalMagnitude(sparsity)).model


@pytest.fixture
def model() -> GraphModel:
    return new_model()


def save(model: GraphModel, path: Path, precision: str = "fp32") -> int:
    return storage.save(model, path, model_name="spline", task="planted-x", precision=precision)


@pytest.mark.parametrize("special", [-0.0, math.nan, math.inf, 1e-45, 0.0, 1.5])
def test_a_model_survives_bit_for_bit(model: GraphModel, tmp_path: Path, special: float) -> None:
    with torch.no_grad():
        model.get_parameter("conv1.weight").flatten()[:50] = special
        model.get_parameter("conv2.bias").fill_(special)
    save(model, tmp_path / "m")
    loaded = storage.load(tmp_path / "m")
    assert_same_bits(model.state_dict(), loaded.model)
    assert (loaded.model_name, loaded.task, loaded.precision) == ("spline", "planted-x", "fp32")
    assert loaded.model.settings == model.settings
    assert not loaded.model.training


@pytest.mark.parametrize("precision", LOSSY)
def test_only_prunable_weights_are_held_in_fewer_bits(model: GraphModel, tmp_path: Path, precision: str) -> None:
    with torch.no_grad():
        model.get_parameter("conv1.bias").copy_(torch.tensor([-0.0, math.nan, 1 / 3, 1e-45]))
    save(model, tmp_path / "m", precision)
    loaded = storage.load(tmp_path / "m")
    assert loaded.precision == precision
    assert_same_bits(storage.as_stored(model, precision), loaded.model)
    weights = {name for name, _, _ in prunable_parameters(model)}
    changed = {
        name
        for name, tensor in model.state_dict().items()
        if tensor_bytes(tensor).tobytes() != tensor_bytes(loaded.model.state_dict()[name]).tobytes()
    }
    assert changed <= weights
    assert "conv1.weight" in changed


@pytest.mark.parametrize("precision", LOSSY)
def test_a_loaded_model_saved_again_gives_the_same_file(model: GraphModel, tmp_path: Path, precision: str) -> None:
    save(model, tmp_path / "one", precision)
    save(storage.load(tmp_path / "one").model, tmp_path / "two", precision)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_the_file_is_safetensors_and_says_what_it_is(model: GraphModel, tmp_path: Path) -> None:
    save(model, tmp_path / "m", "int8")
    with safe_open(tmp_path / "m", framework="pt") as file:
        assert file.metadata().keys() == {"gnn-compression"}
        assert all(file.get_tensor(key).dtype == torch.uint8 for key in file.keys())  # noqa: SIM118
    metadata, blobs = opened(tmp_path / "m")
    facts = {name: metadata[name] for name in ("version", "model", "task", "precision", "settings")}
    assert facts == {
        "version": "2",
        "model": "spline",
        "task": "planted-x",
        "precision": "int8",
        "settings": settings_mapping(model),
    }
    tensors = description(metadata)
    assert tensors.keys() == model.state_dict().keys()
    assert tensors["conv1.weight"] == ["float32", [2, 9, 4], 8]
    assert tensors["conv1.bias"] == ["float32", [4], 32]
    assert tensors["conv2.kernel_size"] == ["int64", [1], 64]
    assert metadata["codecs"].keys() == blobs.keys()
    assert {"mask", "codes", "scales.high", "scales.low"} < blobs.keys()
    assert len(metadata["sha256"]) == 64


def test_the_size_is_that_of_the_file_and_the_bytes_repeat(model: GraphModel, tmp_path: Path) -> None:
    path = tmp_path / "m"
    contents = set()
    for _ in range(8):
        assert save(model, path) == path.stat().st_size
        contents.add(path.read_bytes())
    assert len(contents) == 1


def test_payload_and_overhead_make_up_the_file(model: GraphModel, tmp_path: Path) -> None:
    size_bytes = save(model, tmp_path / "m", "int4")
    sizes = storage.file_sizes(tmp_path / "m")
    assert sizes.payload == sum(map(len, opened(tmp_path / "m")[1].values()))
    assert sizes.payload + sizes.overhead == size_bytes
    (tmp_path / "m").write_bytes((tmp_path / "m").read_bytes()[:-1])
    with pytest.raises(StorageError, match="m is cut off or damaged"):
        storage.file_sizes(tmp_path / "m")


@pytest.mark.parametrize(("name", "settings"), [("spline", SETTINGS), ("ness", {"in_channels": 9})])
def test_a_model_of_nothing_but_zeros_survives(tmp_path: Path, name: str, settings: dict[str, object]) -> None:
    model = build_model(name, settings)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    for precision in storage.PRECISIONS:
        storage.save(model, tmp_path / "m", model_name=name, task="x", precision=precision)
        assert_same_bits(model.state_dict(), storage.load(tmp_path / "m").model)


def test_saving_under_an_unknown_name_is_refused(model: GraphModel, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"^unknown model 'splin'; valid are: "):
        storage.save(model, tmp_path / "m", model_name="splin", task="x")
    with pytest.raises(UnknownNameError, match=r"^unknown precision 'int5'; valid are: fp16, fp32, int4, int8$"):
        save(model, tmp_path / "m", "int5")
    with pytest.raises(UnknownNameError, match="unknown precision 'int5'"):
        storage.as_stored(model, "int5")
    assert list(tmp_path.iterdir()) == []


def test_a_model_under_the_name_of_another_is_not_saved(model: GraphModel, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"^the model cannot be stored: it has settings that make no model 'gin' "):
        storage.save(model, tmp_path / "m", model_name="gin", task="x")
    twin = build_model("gcn", {"in_channels": 9, "out_channels": 3})
    with pytest.raises(StorageError, match=r"^the model cannot be stored: it "):
        storage.save(twin, tmp_path / "m", model_name="graphconv", task="x")
    assert list(tmp_path.iterdir()) == []


def test_a_header_that_could_not_be_read_is_not_written(model: GraphModel, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"^the model cannot be stored: it has a header of \d+ bytes; at "):
        storage.save(model, tmp_path / "m", model_name="spline", task="x" * 70_000)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mask", [[1] * 9, [7, 1, 1, 0, 0, 0, 0, 0, 0], [1, 1] + [0] * 7])
def test_a_mask_of_features_that_its_settings_contradict_is_refused(
    tmp_path: Path, mask: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow = build_model("spline", {**SETTINGS, "kept_features": 3})
    narrow.load_state_dict({**narrow.state_dict(), "kept_features": torch.tensor(mask, dtype=torch.uint8)})
    sentence = r"uses \d input features where its settings ask for 3$"
    with pytest.raises(StorageError, match=rf"^the model cannot be stored: it {sentence}"):
        storage.save(narrow, tmp_path / "m", model_name="spline", task="x")
    with monkeypatch.context() as forger:
        forger.setattr("gnn.storage.model_file.check_feature_mask", lambda *_: None)
        storage.save(narrow, tmp_path / "m", model_name="spline", task="x")
    with pytest.raises(StorageError, match=sentence):
        storage.load(tmp_path / "m")


@pytest.mark.parametrize(
    ("precision", "value"),
    [("fp16", 65520.0), *((precision, value) for precision in LOSSY for value in (math.nan, math.inf, -math.inf))],
)
def test_weights_that_a_precision_has_no_room_for_are_refused(
    model: GraphModel, tmp_path: Path, precision: str, value: float
) -> None:
    with torch.no_grad():
        model.get_parameter("conv2.lin.weight")[0, 0] = value
    sentence = r"^tensor 'conv2\.lin\.weight' holds numbers that are not finite( in FP16)?; fp32 keeps every bit$"
    for refused in (lambda: save(model, tmp_path / "m", precision), lambda: storage.as_stored(model, precision)):
        with pytest.raises(StorageError, match=sentence):
            refused()
    assert list(tmp_path.iterdir()) == []
    save(model, tmp_path / "m")
    assert_same_bits(model.state_dict(), storage.load(tmp_path / "m").model)


def test_a_type_that_its_settings_do_not_make_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"it describes tensor 'conv1\.weight' as \['float64', .*, its model's is "):
        save(build_model("spline", SETTINGS).double(), tmp_path / "m")


def test_a_file_promises_no_more_than_its_own_bytes_may_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = build_model("spline", {**SETTINGS, "in_channels": 300})
    empty = copy.deepcopy(full)
    for parameter in empty.parameters():
        parameter.data.zero_()
    monkeypatch.setattr(described_model, "STATE_BYTES", 100)
    monkeypatch.setattr(described_model, "LARGEST_SETTING", 8)
    save(full, tmp_path / "full")
    assert_same_bits(full.state_dict(), storage.load(tmp_path / "full").model)
    sentence = "^the model cannot be stored: it has a setting 'in_channels' of 300; at most"
    with pytest.raises(StorageError, match=sentence):
        save(empty, tmp_path / "m")
    monkeypatch.setattr(described_model, "LARGEST_EXPANSION", 1)
    monkeypatch.setattr(described_model, "LARGEST_SETTING", 300)
    with pytest.raises(
        StorageError, match=r"^the model cannot be stored: it describes tensor 'conv1\.weight' as .* no"
    ):
        save(empty, tmp_path / "m")
    monkeypatch.setattr(described_model, "STATE_BYTES", 2500)
    with pytest.raises(StorageError, match=r"^the model cannot be stored: it has settings that ask for \d+ bytes"):
        save(empty, tmp_path / "m")
    assert [path.name for path in tmp_path.iterdir()] == ["full"]
