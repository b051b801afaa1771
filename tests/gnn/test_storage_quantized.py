"""Integer models come back from a file to the bit, and a damaged description of their quantizers is refused."""

from pathlib import Path
from typing import Any

import pytest
import torch

from gnn import storage
from gnn.errors import StorageError
from gnn.models import GraphModel
from gnn.quantization.description import Quantization
from gnn.quantization.integer_model import integer_weights, is_integer
from gnn.tasks import Task
from tests.gnn.model_file_forgery import description, forge, opened, refusal, signed
from tests.gnn.toy_quantization import (
    initial_model,
    integer_model,
    logits,
    same,
    task_for,
    tasks_of_every_kind,
    trained_model,
)

NAMES = ("gin", "spline", "ness", "hgpsl", "gnnnet")
DESCRIPTIONS = {
    "range-8": Quantization("range", 8),
    "range-4": Quantization("range", 4),
    "channel": Quantization("channel", 8),
    "node-group": Quantization("node-group", 4, groups=60),
}
OF_GIN = Quantization(
    "node-group",
    4,
    fp32_layers=("convs.0.nn.0",),
    fp32_sites=("convs.0.aggregation.messages",),
    groups=60,
    nonnegative=("convs.1.nn.2", "lin2"),
)


@pytest.fixture(scope="module")
def tasks() -> dict[str, Task]:
    return tasks_of_every_kind()


def save(model: GraphModel, name: str, folder: Path) -> Path:
    path = folder / "model.safetensors"
    storage.save(model, path, model_name=name, task="planted-x")
    return path


@pytest.fixture(scope="module")
def content(tasks: dict[str, Task], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    model = integer_model("gnnnet", DESCRIPTIONS["node-group"], tasks["graph-classification"])
    return save(model, "gnnnet", tmp_path_factory.mktemp("saved")).read_bytes()


@pytest.fixture
def saved(content: bytes, tmp_path: Path) -> Path:
    """The file of a GnnNet with groups of nodes."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("name", "kind"), [*(("gnnnet", kind) for kind in DESCRIPTIONS), *((name, "node-group") for name in NAMES[:-1])]
)
def test_a_model_comes_back_to_the_bit(name: str, kind: str, tasks: dict[str, Task], tmp_path: Path) -> None:
    task = task_for(name, tasks)
    model = integer_model(name, DESCRIPTIONS[kind], task)
    path = save(model, name, tmp_path)
    content = path.read_bytes()
    loaded = storage.load(path)
    assert (loaded.model_name, loaded.task, loaded.precision) == (name, "planted-x", "fp32")
    assert is_integer(loaded.model)
    assert loaded.model.quantization == DESCRIPTIONS[kind]
    assert same(loaded.model, model)
    assert not loaded.model.training
    assert torch.equal(logits(loaded.model, task), logits(model, task))
    assert save(loaded.model, name, tmp_path).read_bytes() == content


def test_layers_and_places_in_fp32_and_inputs_without_a_sign_come_back(tasks: dict[str, Task], tmp_path: Path) -> None:
    task = tasks["graph-classification"]
    model = integer_model("gin", OF_GIN, task)
    loaded = storage.load(save(model, "gin", tmp_path)).model
    assert loaded.quantization == OF_GIN
    assert same(loaded, model)
    assert len(integer_weights(loaded)) == 11
    assert torch.equal(logits(loaded, task), logits(model, task))


@pytest.mark.parametrize("name", NAMES)
def test_fewer_bits_make_a_smaller_file(name: str, tasks: dict[str, Task], tmp_path: Path) -> None:
    task = task_for(name, tasks)
    plain = trained_model(name, task, epochs=1)
    sizes = [storage.save(plain, tmp_path / "model", model_name=name, task="x")]
    for bits in (8, 4):
        model = integer_model(name, Quantization("range", bits), task)
        sizes.append(storage.save(model, tmp_path / "model", model_name=name, task="x"))
        packed = sum(weight.packed.numel() for weight in integer_weights(model).values())
        weights = sum(weight.shape.numel() for weight in integer_weights(model).values())
        assert packed * 8 // bits <= weights + 8
    assert sizes[0] > sizes[1] > sizes[2]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"kind": "log"},
            "(kind 'log' of quantization is unknown; valid are: range, channel, node-group, bfloat16)",
        ),
        ({"kind": {}}, "(kind {} of quantization is unknown; valid are: range, channel, node-group, bfloat16)"),
        ({"bit_width": 99}, "(bit_width 99 is outside 2 to 8; give a whole number of bits, such as 8)"),
        ({"bit_width": "8"}, "(bit_width '8' is outside 2 to 8; give a whole number of bits, such as 8)"),
        ({"colour": 1}, "(Quantization.__init__() got an unexpected keyword argument 'colour')"),
        ({"groups": 2**16 + 1}, "(groups 65537 are outside 1 to 65536; give a number such as 1000)"),
        ({"groups": 2**40}, f"(groups {2**40} are outside 1 to 65536; give a number such as 1000)"),
        ({"groups": None}, "(groups None are outside 1 to 65536; give a number such as 1000)"),
        ({"fp32_layers": [1, 2]}, "(fp32_layers [1, 2] must be names of layers)"),
        ({"fp32_layers": "mlps.0"}, "(fp32_layers 'mlps.0' must be names of layers)"),
        ({"fp32_layers": ["lin9"]}, "(layer 'lin9' is to stay in FP32, but GnnNet has no such layer)"),
        ({"fp32_sites": [None]}, "(fp32_sites [None] must be names of layers)"),
        (
            {"fp32_sites": ["lin9"]},
            "(place 'lin9' is to stay in FP32, but nothing is quantized there; check its name)",
        ),
        ({"nonnegative": {"mlps.0": 1}}, "(nonnegative {'mlps.0': 1} must be names of layers)"),
    ],
)
def test_a_description_that_makes_no_model_is_refused(saved: Path, change: dict[str, Any], sentence: str) -> None:
    forge(saved, {"quantization": {**opened(saved)[0]["quantization"], **change}})
    assert refusal(saved) == f"has settings that make no model 'gnnnet' {sentence}"


@pytest.mark.parametrize("whole", [None, [], "range", 8])
def test_a_description_that_is_none_is_refused(saved: Path, whole: object) -> None:
    forge(saved, {"quantization": whole})
    assert refusal(saved) == f"says nothing valid about its 'quantization': {whole!r}"


def test_a_description_without_its_fields_is_refused(saved: Path) -> None:
    forge(saved, {"quantization": {"kind": "range"}})
    assert refusal(saved).startswith("has settings that make no model 'gnnnet' (Quantization.__init__() missing 1 ")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"kind": "range"}, "describes other tensors than its model has: "),
        ({"kind": "channel"}, "describes other tensors than its model has: "),
        ({"bit_width": 5}, "describes tensor 'gnn_layers.0.lin.product.weights.0.packed' as ['uint8', [256], 8], its"),
        ({"groups": 61}, "describes tensor 'gnn_layers.0.lin.product.inputs.step_size' as ['float32', [60, 1], 32]"),
        ({"groups": 2**16}, "describes tensor 'gnn_layers.0.lin.product.inputs.step_size' as ['float32', [60, 1], 32]"),
        ({"fp32_layers": ["mlps.0"]}, "describes other tensors than its model has: 'mlps.0."),
        ({"fp32_sites": ["mlps.0.product.inputs"]}, "describes other tensors than its model has: 'mlps.0."),
    ],
)
def test_a_description_of_another_model_is_refused(saved: Path, change: dict[str, Any], sentence: str) -> None:
    forge(saved, {"quantization": {**opened(saved)[0]["quantization"], **change}})
    assert refusal(saved).startswith(sentence)


def test_a_description_cannot_be_left_out_or_added(saved: Path, tasks: dict[str, Task]) -> None:
    metadata, blobs = opened(saved)
    quantization = metadata.pop("quantization")
    saved.write_bytes(signed(metadata, blobs))
    assert refusal(saved).startswith("describes other tensors than its model has: ")
    plain = initial_model("gnnnet", tasks["graph-classification"])
    storage.save(plain, saved, model_name="gnnnet", task="x")
    assert "quantization" not in opened(saved)[0]
    forge(saved, {"quantization": quantization})
    assert refusal(saved).startswith("describes other tensors than its model has: ")


def test_codes_are_described_as_bytes(saved: Path) -> None:
    tensors = description(opened(saved)[0])
    # 64 times 4 weights of 4 bits, two in each byte.
    assert tensors["gnn_layers.0.lin.product.weights.0.packed"] == ["uint8", [256], 8]
    assert not any("parametrizations" in name for name in tensors)


def test_what_would_not_be_read_back_is_not_written(tasks: dict[str, Task], tmp_path: Path) -> None:
    task = tasks["graph-classification"]
    integer = integer_model("gnnnet", DESCRIPTIONS["range-8"], task)
    integer.quantization = DESCRIPTIONS["channel"]
    nameless = integer_model("gnnnet", DESCRIPTIONS["range-8"], task)
    nameless.quantization = None
    simulated = DESCRIPTIONS["range-8"].apply(initial_model("gnnnet", task))
    for model in (integer, nameless, simulated):
        with pytest.raises(StorageError, match=r"^the model cannot be stored: it describes "):
            storage.save(model, tmp_path / "model", model_name="gnnnet", task="x")
    assert list(tmp_path.iterdir()) == []


def test_codes_are_not_stored_in_fewer_bits_again(tmp_path: Path, tasks: dict[str, Task]) -> None:
    model = integer_model("gin", Quantization("range", 8), tasks["graph-classification"])
    with pytest.raises(StorageError, match=r"^the model cannot be stored in fp16: its weights are codes already"):
        storage.save(model, tmp_path / "model", model_name="gin", task="planted-x", precision="fp16")
    assert not (tmp_path / "model").exists()
