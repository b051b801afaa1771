"""Post-training quantization: nothing is trained, and the integer model says nearly what the dense one says."""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gnn.case import Case
from gnn.compression import Context, PostTraining, compress
from gnn.compression.post_training import calibrate
from gnn.errors import SettingError
from gnn.models import GraphModel
from gnn.quantization.description import Quantization
from gnn.quantization.integer_model import integer_weights, is_integer, plain_model
from gnn.quantization.tensor_quantizer import TensorQuantizer
from gnn.tasks import Task
from gnn.training import evaluate
from tests.gnn.toy_quantization import logits, task_for, tasks_of_every_kind, toy_context, trained_model

NAMES = ("gin", "gnnnet", "hgpsl", "ness", "spline")


@pytest.fixture(scope="module")
def tasks() -> dict[str, Task]:
    return tasks_of_every_kind()


@pytest.fixture(scope="module")
def dense(tasks: dict[str, Task]) -> Callable[[str], GraphModel]:
    """A function that gives a copy of a trained dense model."""
    models = {name: trained_model(name, task_for(name, tasks), epochs=8) for name in NAMES}
    return lambda name: copy.deepcopy(models[name])


@pytest.mark.parametrize("name", NAMES)
def test_calibration_changes_nothing_but_ranges(
    name: str, tasks: dict[str, Task], dense: Callable[[str], GraphModel], tmp_path: Path
) -> None:
    context = toy_context(name, task_for(name, tasks), tmp_path)
    model = Quantization("channel", 8).apply(dense(name))
    before = copy.deepcopy(model.state_dict())
    calibrate(model, Context(context))
    changed = {key for key, tensor in model.state_dict().items() if not torch.equal(tensor, before[key])}
    ranges = {
        f"{key}.{end}"
        for key, module in model.named_modules()
        if isinstance(module, TensorQuantizer)
        for end in ("minimum", "maximum")
    }
    assert changed == ranges != set()
    assert not any(module.training for module in model.modules())


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("name", NAMES)
def test_every_weight_is_a_code_and_nothing_was_trained(
    name: str, bits: int, tasks: dict[str, Task], dense: Callable[[str], GraphModel], tmp_path: Path
) -> None:
    task, plain = task_for(name, tasks), dense(name)
    compressed = compress(dense(name), PostTraining(bits), toy_context(name, task, tmp_path))
    weights = {key: value for key, value in plain.named_parameters() if value.dim() >= 2}
    assert compressed.compressed_tensors == len(weights)
    assert set(compressed.quantized) == weights.keys()
    assert (compressed.fitted, compressed.extra_training_s, compressed.masks.kept) == (None, 0.0, {})
    assert compressed.model.quantization == Quantization("channel", bits)
    assert {weight.bit_width for weight in integer_weights(compressed.model).values()} == {bits}
    again = plain_model(compressed.model)
    for key, value in plain.state_dict().items():
        found = again.state_dict()[key]
        if key not in weights:
            assert torch.equal(found, value)
            continue
        # Half a step of the channel with the largest weight is the most that one can move.
        assert 0 < float((found - value).abs().max()) <= 0.5001 * float(value.abs().max()) / (2 ** (bits - 1) - 1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", NAMES)
def test_it_is_nearly_as_accurate_as_the_dense_model(
    name: str, tasks: dict[str, Task], dense: Callable[[str], GraphModel], tmp_path: Path
) -> None:
    task = task_for(name, tasks)
    compressed = compress(dense(name), PostTraining(8), toy_context(name, task, tmp_path))
    assert is_integer(compressed.model)
    assert compressed.simulated is not None
    scores = [evaluate(model, task).score for model in (dense(name), compressed.simulated, compressed.model)]
    assert scores[1:] == pytest.approx([scores[0]] * 2, abs=0.13)
    of_dense, found = logits(dense(name), task), logits(compressed.model, task)
    assert not torch.equal(found, of_dense)
    if name != "hgpsl":  # It may keep another node.
        assert float((found - of_dense).abs().max()) < 0.1 * float(of_dense.abs().max())


def test_an_id_names_the_bits() -> None:
    assert Case("proteins", "gin", PostTraining()).id == "proteins.gin.post-training.int8"
    assert Case("proteins", "gin", PostTraining(4)).id == "proteins.gin.post-training.int4"
    assert PostTraining().compresses


def test_what_it_cannot_do_is_refused(dense: Callable[[str], GraphModel]) -> None:
    for bits in (1, 9, 8.0, "8", True):
        with pytest.raises(SettingError, match=rf"^bit_width {bits!r} is outside 2 to 8"):
            PostTraining(bits)  # pyright: ignore[reportArgumentType]
    with pytest.raises(
        SettingError, match=r"^this method runs the model once; give compress\(\) arguments of its forward"
    ):
        compress(dense("gin"), PostTraining())


def test_features_that_are_no_numbers_are_refused(tasks: dict[str, Task], tmp_path: Path) -> None:
    task = copy.deepcopy(tasks_of_every_kind()["graph-classification"])
    task.collection.features[3, 1] = torch.nan  # pyright: ignore[reportAttributeAccessIssue]
    model = trained_model("gnnnet", tasks["graph-classification"], epochs=1)
    with pytest.raises(SettingError, match="only finite numbers can be quantized"):
        model = compress(model, PostTraining(), toy_context("gnnnet", task, tmp_path)).model
