"""Weights that PyTorch computes from others, and models that are none or hold no FP32, are refused by name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from gnn import storage
from gnn.compression import (
    CompressionSettings,
    Masks,
    compress,
    fine_tune,
    prunable_parameters,
    sparsity_of,
)
from gnn.compression.weight_statistics import near_zero_share, weight_histograms
from gnn.errors import SettingError, StorageError
from gnn.quantization.description import Quantization
from gnn.runtime import compile_inference
from gnn.tasks import NodeClassification
from gnn.training import fit
from tests.gnn.five_models import outputs_on_test, random_model
from tests.gnn.test_wrapped_models import GRAPHS, ONE_EPOCH, Model, compiled, saved
from tests.gnn.toy_training import EVERY_METHOD, same, state_of

# PyTorch would have its users move on from both.
pytestmark = [
    pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm` is deprecated"),
    pytest.mark.filterwarnings("ignore:`torch.jit.script` is"),
]


def hgpsl() -> Model:
    return random_model("hgpsl", GRAPHS)


def gin() -> Model:
    return random_model("gin", GRAPHS)


def masked(model: Model) -> Model:
    prune.l1_unstructured(model.lin1, "weight", 0.9)
    return model


def masked_twice(model: Model) -> Model:
    for _ in range(2):
        prune.random_unstructured(model.lin1, "bias", 0.5)
    return model


def masked_everywhere(model: Model) -> Model:
    prune.global_unstructured(
        [(layer, name) for _, layer, name in prunable_parameters(model)], prune.L1Unstructured, amount=0.5
    )
    return model


def with_layer(model: Model, change: Callable[[nn.Module], Any]) -> Model:
    model.convs[1].nn[2] = change(model.convs[1].nn[2])
    return model


MASK = r"carries a mask of torch\.nn\.utils\.prune; make it permanent first: torch\.nn\.utils\.prune\.remove"
DEEP = r"\(model\.convs\[1\]\.nn\[2\], \"weight\"\)$"
Refused = dict[str, tuple[Callable[[], Model], str]]
BY_HOOKS: Refused = {
    "mask": (lambda: masked(hgpsl()), rf"^'lin1\.weight' {MASK}\(model\.lin1, \"weight\"\)$"),
    "mask of a bias": (lambda: masked_twice(hgpsl()), rf"^'lin1\.bias' {MASK}\(model\.lin1, \"bias\"\)$"),
    "masks everywhere": (
        lambda: masked_everywhere(gin()),
        rf"^'convs\.0\.nn\.0\.weight' {MASK}\(model\.convs\[0\]\.nn\[0\], \"weight\"\), and 11 more like it$",
    ),
    "mask in a wrapper": (
        lambda: nn.DataParallel(masked(hgpsl())),
        rf"^'module\.lin1\.weight' {MASK}\(model\.module\.lin1, \"weight\"\)$",
    ),
    "old spectral norm": (
        lambda: with_layer(gin(), nn.utils.spectral_norm),
        r"^'convs\.1\.nn\.2\.weight' is made by torch\.nn\.utils\.spectral_norm; make it permanent first: "
        rf"torch\.nn\.utils\.remove_spectral_norm{DEEP}",
    ),
    "old weight norm": (
        lambda: with_layer(gin(), nn.utils.weight_norm),
        r"^'convs\.1\.nn\.2\.weight' is made by torch\.nn\.utils\.weight_norm; make it permanent first: "
        rf"torch\.nn\.utils\.remove_weight_norm{DEEP}",
    ),
}
OF_LAYERS: Refused = {
    "weight norm": (
        lambda: with_layer(gin(), parametrizations.weight_norm),
        r"^'convs\.1\.nn\.2\.weight' is parametrized by _WeightNorm; make it permanent first: "
        rf"torch\.nn\.utils\.parametrize\.remove_parametrizations{DEEP}",
    ),
    "spectral norm": (
        lambda: with_layer(gin(), parametrizations.spectral_norm),
        r"^'convs\.1\.nn\.2\.weight' is parametrized by _SpectralNorm; make it permanent first: ",
    ),
    "compiled layer": (
        lambda: with_layer(gin(), compiled),
        r"^layer 'convs\.1\.nn\.2' is wrapped in OptimizedModule; unwrap it first: "
        r"model\.convs\[1\]\.nn\[2\] = model\.convs\[1\]\.nn\[2\]\._orig_mod$",
    ),
    "scripted layer": (
        lambda: with_layer(gin(), torch.jit.script),
        r"^model\.convs\[1\]\.nn\[2\] is a RecursiveScriptModule of torch\.jit; give what it was made of$",
    ),
}
REFUSING: dict[str, Callable[[Model, Path], object]] = {
    "save": lambda model, folder: saved(model, folder, "gin"),
    "as stored": lambda model, _: storage.as_stored(model, "fp32"),
    "bound": lambda model, _: storage.entropy_bound_bytes(model),
    "algorithm 1": lambda model, _: storage.algorithm1_size_bytes(model),
    "dense size": lambda model, _: storage.dense_size_bytes(model),
    "prunable": lambda model, _: prunable_parameters(model),
    "sparsity": lambda model, _: sparsity_of(model),
    "near zero": lambda model, _: near_zero_share(model),
    "histograms": lambda model, _: weight_histograms({}, model),
    "runtime": lambda model, _: compile_inference(model, GRAPHS),
    "quantization": lambda model, _: Quantization("range", 8).apply(model),
    **{settings.method: lambda model, _, settings=settings: compress(model, settings) for settings in EVERY_METHOD},
}


def refused(model: Model, sentence: str, asked: Callable[[], object]) -> None:
    """Whether there is this sentence, and the model and its hooks are as they were."""
    before = state_of(model)
    with pytest.raises(SettingError, match=sentence):
        asked()
    assert same(state_of(model), before)


@pytest.mark.parametrize("made_so", [*BY_HOOKS, *OF_LAYERS])
def test_weights_that_are_no_plain_parameters_are_refused_everywhere(made_so: str, tmp_path: Path) -> None:
    build, sentence = (BY_HOOKS | OF_LAYERS)[made_so]
    model = build()
    for ask in REFUSING.values():
        refused(model, sentence, lambda ask=ask: ask(model, tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("made_so", BY_HOOKS)
def test_weights_of_hooks_are_not_trained(made_so: str) -> None:
    build, sentence = BY_HOOKS[made_so]
    model = build()
    refused(model, sentence, lambda: fit(model, GRAPHS, ONE_EPOCH, seed=0))
    refused(model, sentence, lambda: fine_tune(model, GRAPHS, Masks(), ONE_EPOCH, seed=0))


@pytest.mark.parametrize("made_so", ["weight norm", "spectral norm"])
def test_parametrized_weights_are_trained_as_ever(made_so: str) -> None:
    model = OF_LAYERS[made_so][0]()
    before = state_of(model)
    fit(model, GRAPHS, ONE_EPOCH, seed=0)
    assert not same(state_of(model), before)


@pytest.mark.parametrize("made_so", [*BY_HOOKS, *(name for name in OF_LAYERS if name != "scripted layer")])
def test_the_remedy_of_a_sentence_keeps_what_the_model_says(made_so: str, tmp_path: Path) -> None:
    model = (BY_HOOKS | OF_LAYERS)[made_so][0]()
    inside = model.module if isinstance(model, nn.DataParallel) else model
    name = "hgpsl" if hasattr(inside, "pool1") else "gin"
    # A compiled layer would be compiled to be run, so it is asked afterwards only.
    before = None if made_so == "compiled layer" else outputs_on_test(inside, GRAPHS)
    for _ in range(20):
        try:
            saved(model, tmp_path, name)
            break
        except SettingError as error:
            remedy = str(error).partition("first: ")[2].partition(", and ")[0]
            exec(remedy, {"torch": torch, "model": model})  # noqa: S102  (what a user would type)
    loaded = storage.load(tmp_path / "m").model
    assert torch.equal(outputs_on_test(loaded, GRAPHS), outputs_on_test(inside, GRAPHS))
    assert before is None or torch.equal(before, outputs_on_test(inside, GRAPHS))


@pytest.mark.parametrize("settings", EVERY_METHOD, ids=lambda settings: settings.method)
def test_numbers_in_another_type_or_nowhere_are_refused(
    settings: CompressionSettings, small_task: NodeClassification
) -> None:
    for change, sentence in {
        "double": r"^parameter 'convs\.0\.nn\.0\.weight' is torch\.float64, not torch\.float32; use model\.float\(\)$",
        "half": r"^parameter 'convs\.0\.nn\.0\.weight' is torch\.float16, not torch\.float32; use model\.float\(\)$",
        "meta": r"^parameter 'convs\.0\.nn\.0\.weight' is on device meta and has no numbers; build the model without",
    }.items():
        model = gin().to("meta") if change == "meta" else getattr(gin(), change)()
        for ask in (
            lambda model=model: compress(model, settings),
            lambda model=model: compile_inference(model, small_task),
        ):
            with pytest.raises(SettingError, match=sentence):
                ask()


def test_a_model_without_numbers_is_not_stored(tmp_path: Path) -> None:
    model = gin().to("meta")
    for ask in ("save", "as stored", "bound"):
        with pytest.raises(StorageError, match=r"^tensor 'convs\.0\.nn\.0\.weight' is on device meta and has no num"):
            REFUSING[ask](model, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_wrapper_is_named(tmp_path: Path, small_task: NodeClassification) -> None:
    wrapped: Any = nn.Sequential(gin())
    with pytest.raises(SettingError, match=r"^Sequential is wrapped around a model of gnn\.models; give the model"):
        fit(wrapped, small_task, ONE_EPOCH, seed=0)
    with pytest.raises(StorageError, match=r"^the model cannot be stored: it is a Sequential, which is no GraphModel$"):
        saved(wrapped, tmp_path)
