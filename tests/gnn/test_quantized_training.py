"""Methods that train with fake quantization: trained once, converted, and the same as what was simulated."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import gnn.compression.quantized_training
import gnn.compression.retraining
from gnn.case import Case
from gnn.compression import METHODS as REGISTERED
from gnn.compression import A2q, CompressionSettings, DegreeQuant, Qat, TrainingContext, compress
from gnn.compression.range_settings import MOMENTUM, RangeSettings
from gnn.determinism import deterministic
from gnn.errors import SettingError
from gnn.models import MODELS, GraphModel
from gnn.quantization.degree_protection import DegreeProtection
from gnn.quantization.description import Quantization
from gnn.quantization.integer_model import is_integer
from gnn.quantization.tensor_quantizer import TensorQuantizerSettings
from gnn.quantization.value_range import RangeTracking
from gnn.tasks import Task
from gnn.training import fit
from tests.gnn.toy_quantization import EPOCHS, same, task_for, tasks_of_every_kind, toy_context

METHODS = {"qat": Qat(4, "gradient-clipping", "percentile"), "degree-quant": DegreeQuant(8), "a2q": A2q()}
NAMES = ("gin", "hgpsl", "ness", "spline", "graphconv")
# Two batches of graphs an epoch, one step for the others.
STEPS = {"gin": 2 * EPOCHS, "gnnnet": 2 * EPOCHS, "hgpsl": 2 * EPOCHS, "ness": EPOCHS, "spline": EPOCHS}
GRADIENTS = {"ste": "straight-through", "gc": "gradient-clipping"}
TRACKINGS = {"abs": "absolute", "mom": "momentum", "per": "percentile"}


@pytest.fixture(scope="module")
def tasks() -> dict[str, Task]:
    """A small task of every kind."""
    return tasks_of_every_kind()


@pytest.fixture
def new_context(tasks: dict[str, Task], tmp_path: Path) -> Callable[[str], TrainingContext]:
    """A function that gives the training context of a model; what a method remembers is kept for the test."""
    return lambda name: toy_context(name, task_for(name, tasks), tmp_path)


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[GraphModel]:
    """The models that were trained since the test began."""
    trained: list[GraphModel] = []

    def record(model: GraphModel, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401
        trained.append(model)
        return fit(model, *arguments, **named)

    monkeypatch.setattr(gnn.compression.quantized_training, "fit", record)
    return trained


def embedding(model: GraphModel, task: Task, inputs: Any) -> Tensor:  # noqa: ANN401
    with torch.no_grad(), deterministic(0):
        return model(inputs) if task.kind == "link-prediction" else model.outputs(task, inputs, "train")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", NAMES)
def test_it_is_trained_once_and_runs_on_integers(
    name: str, method: str, new_context: Callable[[str], TrainingContext], fits: list[GraphModel]
) -> None:
    context = new_context(name)
    compressed = compress(context.initial(), METHODS[method], context)
    again = compress(context.initial(), METHODS[method], context)
    assert len(fits) == 1
    assert same(compressed.model, again.model)
    assert is_integer(compressed.model)
    assert compressed.simulated is not None
    assert not is_integer(compressed.simulated)
    assert [compressed.simulated.training, compressed.model.training] == [False, False]
    weights = [name for name, parameter in context.initial().named_parameters() if parameter.dim() >= 2]
    exempt = {f"{layer}.weight" for layer in MODELS[name].fp32_layers}
    assert set(compressed.quantized) == set(weights) - exempt
    assert compressed.compressed_tensors == len(weights) - len(exempt) > 0
    assert compressed.masks.kept == {}
    assert compressed.fitted is not None
    assert compressed.extra_training_s == compressed.fitted.cpu_s
    assert not compressed.needs_dense
    inputs = compressed.simulated.prepare(context.task)
    simulated, found = (embedding(m, context.task, inputs) for m in (compressed.simulated, compressed.model))
    close = (found - simulated).abs() <= 1e-5 * simulated.abs().max()
    assert float(close.float().mean()) >= 0.9


@pytest.mark.parametrize("method", METHODS)
def test_other_settings_and_other_code_train_again(
    method: str,
    new_context: Callable[[str], TrainingContext],
    fits: list[GraphModel],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    context = new_context("gnnnet")
    compress(context.initial(), METHODS[method], context)
    compress(context.initial(), type(METHODS[method])(bit_width=5), context)  # pyright: ignore[reportCallIssue]
    assert len(fits) == 2
    roots: list[object] = []
    monkeypatch.setattr(gnn.compression.retraining, "source_sha256", lambda *asked: roots.extend(asked) or "other")
    compress(context.initial(), METHODS[method], context)
    assert len(fits) == 3
    assert roots == [REGISTERED[method].compress]


def test_the_description_says_how_it_was_quantized(new_context: Callable[[str], TrainingContext]) -> None:
    context = new_context("gin")
    found = {method: compress(context.initial(), settings, context) for method, settings in METHODS.items()}
    exempt = ("convs.0.nn.0",)
    assert found["qat"].model.quantization == Quantization("range", 4, exempt)
    assert found["degree-quant"].model.quantization == Quantization("range", 8, exempt)
    of_groups = found["a2q"].model.quantization
    assert (of_groups.kind, of_groups.bit_width, of_groups.groups) == ("node-group", 4, 1000)
    assert of_groups.fp32_sites == ("convs.0.aggregation.messages",)


@pytest.mark.parametrize("name", STEPS)
def test_degree_quant_draws_a_mask_for_every_step(
    name: str, new_context: Callable[[str], TrainingContext], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []
    draw = DegreeProtection.draw

    def count(self: DegreeProtection, in_degree: Tensor, node_pointer: Tensor | None = None) -> None:
        drawn.append(len(in_degree))
        draw(self, in_degree, node_pointer)

    monkeypatch.setattr(DegreeProtection, "draw", count)
    context = new_context(name)
    compress(context.initial(), DegreeQuant(8), context)
    assert len(drawn) == STEPS[name]
    task: Any = context.task
    if task.kind == "graph-classification":
        train = task.batch("train")
        assert sum(drawn) == EPOCHS * len(train.features)
    else:
        assert set(drawn) == {60 if task.kind == "link-prediction" else 210}


def test_what_is_protected_makes_a_difference(new_context: Callable[[str], TrainingContext]) -> None:
    context = new_context("gnnnet")
    plain, protected = (compress(context.initial(), settings(4), context).model for settings in (Qat, DegreeQuant))
    assert not same(plain, protected)
    assert DegreeQuant(8).protection == DegreeQuant(5).protection == (0.0, 0.1)
    assert DegreeQuant(4).protection == DegreeQuant(2).protection == (0.1, 0.2)


def test_walkpooling_has_no_degrees_to_protect_by(new_context: Callable[[str], TrainingContext]) -> None:
    context = new_context("walkpooling")
    with pytest.raises(SettingError, match=r"^WalkPooling cuts out a graph for every pair.*use qat instead$"):
        compress(context.initial(), DegreeQuant(8), context)


@pytest.mark.parametrize("tracking", TRACKINGS)
@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("settings", [Qat, DegreeQuant])
def test_the_24_variants_have_their_ids(settings: type[Any], bits: int, gradient: str, tracking: str) -> None:
    variant = settings(bits, GRADIENTS[gradient], TRACKINGS[tracking])
    case = Case("proteins", "gin", variant)
    assert case.id == f"proteins.gin.{settings.method}.int{bits}.{gradient}-{tracking}"
    assert re.fullmatch(r"[a-z0-9.-]+", case.id)
    assert variant.compresses
    quantizer: TensorQuantizerSettings = variant.quantizer
    assert (quantizer.bit_width, quantizer.gradient, quantizer.signed) == (bits, GRADIENTS[gradient], None)
    share = {8: 0.001, 4: 0.01}[bits]
    expected = {"abs": RangeTracking(), "mom": RangeTracking(MOMENTUM), "per": RangeTracking(percentile=share)}
    assert quantizer.tracking == expected[tracking]


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: Qat(1), "bit_width 1 is outside 2 to 8"),
        (lambda: DegreeQuant(4.0), "bit_width 4.0 is outside 2 to 8"),  # pyright: ignore[reportArgumentType]
        (lambda: Qat(8, "ste"), "gradient 'ste' is unknown; valid are: gradient-clipping, straight-through"),  # pyright: ignore
        (lambda: RangeSettings(tracking="abs"), "tracking 'abs' is unknown; valid are: absolute, momentum, percentile"),  # pyright: ignore
        (lambda: A2q(9), "bit_width 9 is outside 2 to 8"),
        (lambda: A2q(8), "bit_width 8 leaves no bit more for inputs without a sign; give less"),
        (lambda: A2q(4, -1.0), "memory_weight -1.0 must be a number not below 0, such as 1"),
        (lambda: A2q(4, float("nan")), "memory_weight nan must be a number not below 0, such as 1"),
        (lambda: A2q(4, "0.1"), "memory_weight '0.1' must be a number not below 0, such as 1"),  # pyright: ignore[reportArgumentType]
        (lambda: A2q(memory_kb=float("inf")), "memory_kb inf must be a number not below 0, such as 1"),
    ],
)
def test_bad_settings_are_refused(build: Callable[[], CompressionSettings], sentence: str) -> None:
    with pytest.raises(SettingError, match=f"^{re.escape(sentence)}"):
        build()
