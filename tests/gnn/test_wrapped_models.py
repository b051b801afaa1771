"""A model that PyTorch has wrapped is the model inside, and weights that are not plain ones are refused by name."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import distributed, nn
from torch._C._distributed_c10d import HashStore
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel

from gnn import storage
from gnn.compression import (
    METHODS,
    CompressionSettings,
    GlobalMagnitude,
    PostTraining,
    Structured,
    compress,
    fine_tune,
    prunable_parameters,
    sparsity_of,
)
from gnn.compression.quantized_bits import measured_bits
from gnn.compression.weight_statistics import near_zero_share, weight_histograms
from gnn.models import GraphModel, unwrapped_model
from gnn.quantization.agreement import agreement
from gnn.quantization.description import Quantization
from gnn.quantization.integer_model import plain_model
from gnn.runtime import compile_inference, model_inference
from gnn.tasks import NodeClassification
from gnn.training import evaluate, fit
from gnn.training_settings import Recipe
from tests.gnn.random_graphs import random_task
from tests.gnn.toy_training import EVERY_METHOD, RECIPE, same, state_of, toy_subject

Model = Any


def compiled(model: nn.Module) -> Any:  # noqa: ANN401
    """The model in its wrapper; nothing is compiled before it is called, and this backend takes no time to import."""
    return torch.compile(model, backend="eager")


WRAPPERS: dict[str, Callable[[nn.Module], Any]] = {
    "compiled": compiled,
    "parallel": nn.DataParallel,
    "distributed": DistributedDataParallel,
    "averaged": AveragedModel,
    "nested": lambda model: compiled(nn.DataParallel(compiled(model))),
}
UNTRAINED = [
    settings for settings in EVERY_METHOD if settings.method in ("dense", "global", "post-training", "structured")
]
GRAPHS = random_task()
ONE_EPOCH = replace(RECIPE.training, epochs=1, patience=1, most_epochs=None)
SHORT = Recipe(ONE_EPOCH, ONE_EPOCH)


@pytest.fixture(scope="module", autouse=True)
def one_process() -> Iterator[None]:
    """The group without which nothing can be distributed."""
    distributed.init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


@pytest.fixture
def trained(small_task: NodeClassification, tmp_path: Path) -> GraphModel:
    return toy_subject(small_task, tmp_path).model


def saved(model: Model, folder: Path, name: str = "spline") -> bytes:
    storage.save(model, folder / "m", model_name=name, task="planted")
    return (folder / "m").read_bytes()


READ: dict[str, Callable[[Model, NodeClassification, Path], object]] = {
    "save": lambda model, _, folder: saved(model, folder),
    "as stored": lambda model, *_: [(key, value.tolist()) for key, value in storage.as_stored(model, "int8").items()],
    "bound": lambda model, *_: storage.entropy_bound_bytes(model, "int4"),
    "algorithm 1": lambda model, *_: storage.algorithm1_size_bytes(model),
    "dense size": lambda model, *_: storage.dense_size_bytes(model),
    "prunable": lambda model, *_: [name for name, _, _ in prunable_parameters(model)],
    "sparsity": lambda model, *_: sparsity_of(model),
    "near zero": lambda model, *_: near_zero_share(model),
    "histograms": lambda model, task, folder: weight_histograms(toy_subject(task, folder).model.state_dict(), model),
    "runtime": lambda model, task, _: compile_inference(model, task)().tolist(),
}
RUN: dict[str, Callable[[Model, NodeClassification], object]] = {
    "forward": lambda model, task: model_inference(model, task)().tolist(),
    "evaluate": evaluate,
}


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_a_wrapped_model_has_the_file_and_the_numbers_of_the_bare_one(
    wrap: Callable[[nn.Module], Any], trained: GraphModel, small_task: NodeClassification, tmp_path: Path
) -> None:
    wrapped = wrap(trained)
    for name, read in READ.items():
        assert read(wrapped, small_task, tmp_path) == read(trained, small_task, tmp_path), name
    for name, ask in RUN.items():
        assert ask(wrapped, small_task) == ask(trained, small_task), name


@pytest.mark.parametrize("settings", EVERY_METHOD, ids=lambda settings: settings.method)
def test_every_method_compresses_the_model_inside(
    settings: CompressionSettings, trained: GraphModel, small_task: NodeClassification, tmp_path: Path
) -> None:
    models = (copy.deepcopy(trained), WRAPPERS["nested"](trained))
    # Each with a store of its own, so that neither reads what the other trained.
    contexts = [toy_subject(small_task, tmp_path / name, recipe=SHORT).context for name in ("bare", "wrapped")]
    bare, wrapped = (compress(model, settings, context) for model, context in zip(models, contexts, strict=True))
    assert type(wrapped.model) is type(bare.model)
    assert wrapped.compressed_tensors == bare.compressed_tensors
    assert wrapped.masks.kept.keys() == bare.masks.kept.keys()
    assert saved(wrapped.model, tmp_path) == saved(bare.model, tmp_path)


def test_no_method_is_left_out() -> None:
    assert {settings.method for settings in EVERY_METHOD} == set(METHODS)


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
@pytest.mark.parametrize("settings", UNTRAINED, ids=lambda settings: settings.method)
def test_every_wrapper_is_taken_off_before_compression(
    wrap: Callable[[nn.Module], Any],
    settings: CompressionSettings,
    trained: GraphModel,
    small_task: NodeClassification,
    tmp_path: Path,
) -> None:
    context = toy_subject(small_task, tmp_path).context
    bare = compress(copy.deepcopy(trained), settings, context).model
    assert saved(compress(wrap(trained), settings, context).model, tmp_path) == saved(bare, tmp_path)


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_training_and_fine_tuning_reach_the_model_inside(
    wrap: Callable[[nn.Module], Any], trained: GraphModel, small_task: NodeClassification
) -> None:
    masks = compress(trained, GlobalMagnitude(0.5)).masks
    bare: Model = copy.deepcopy(trained)
    wrapped: Model = wrap(trained)
    for model in (bare, wrapped):
        fit(model, small_task, ONE_EPOCH, seed=1)
        fine_tune(model, small_task, masks, ONE_EPOCH, seed=2)
    assert same(state_of(unwrapped_model(wrapped)), state_of(bare))
    assert sparsity_of(wrapped)[0] >= 0.49


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_quantized_and_integer_models_are_unwrapped(
    wrap: Callable[[nn.Module], Any], trained: GraphModel, small_task: NodeClassification, tmp_path: Path
) -> None:
    quantization = Quantization("range", 8)
    simulated = quantization.apply(wrap(copy.deepcopy(trained)))
    assert simulated.state_dict().keys() == quantization.apply(copy.deepcopy(trained)).state_dict().keys()
    integer = compress(trained, PostTraining(), toy_subject(small_task, tmp_path).context).model
    wrapped = wrap(integer)
    assert same(plain_model(wrapped).state_dict(), plain_model(integer).state_dict())
    assert measured_bits(wrapped, wrap(plain_model(integer)), small_task) == measured_bits(
        integer, plain_model(integer), small_task
    )
    assert agreement(wrapped, integer, small_task).identical == 1
    assert compile_inference(wrapped, small_task)().equal(compile_inference(integer, small_task)())


def test_a_model_compiled_in_place_is_as_any_other(
    trained: GraphModel, small_task: NodeClassification, tmp_path: Path
) -> None:
    example = (trained.prepare(small_task),)
    other = copy.deepcopy(trained)
    other.compile(backend="eager")
    assert saved(other, tmp_path) == saved(trained, tmp_path)
    for settings in (GlobalMagnitude(0.5), Structured(0.5)):
        compressed = [compress(model, settings, example=example).model for model in (other, trained)]
        assert saved(compressed[0], tmp_path) == saved(compressed[1], tmp_path)
