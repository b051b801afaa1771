"""Pruning and quantization together: what was removed stays away in the integers, in either order."""

from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import gnn.compression.hybrid
import gnn.compression.retraining
from gnn import storage
from gnn.case import Case
from gnn.compression import (
    GlobalMagnitude,
    Hybrid,
    LayerAdaptive,
    Structured,
    compress,
    prunable_parameters,
    sparsity_of,
)
from gnn.compression.hybrid import mask_quantized
from gnn.errors import SettingError
from gnn.models import GraphModel
from gnn.quantization.description import Quantization
from gnn.quantization.integer_model import integer_weights, is_integer, plain_model
from gnn.tasks import Task
from tests.gnn.toy_quantization import (
    EPOCHS,
    logits,
    same,
    task_for,
    tasks_of_every_kind,
    toy_context,
    trained_model,
)

NAMES = ("gin", "gnnnet", "hgpsl", "ness", "spline")
UNSTRUCTURED = {
    "prune-first": Hybrid(GlobalMagnitude(0.8), 8, "prune-first"),
    "quantize-first": Hybrid(GlobalMagnitude(0.8), 8, "quantize-first"),
    "prune-first-int4": Hybrid(LayerAdaptive(0.5), 4, "prune-first"),
    "quantize-first-int4": Hybrid(GlobalMagnitude(0.5), 4, "quantize-first"),
}


@pytest.fixture(scope="module")
def tasks() -> dict[str, Task]:
    return tasks_of_every_kind()


@pytest.fixture(scope="module")
def dense(tasks: dict[str, Task]) -> Callable[[str], GraphModel]:
    """A function that gives a trained dense model, always a new copy."""
    return lambda name: trained_model(name, task_for(name, tasks))


@pytest.fixture
def masked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Tensor]]:
    """The masks of every round of fine-tuning since the test began."""
    masks: list[dict[str, Tensor]] = []
    fine_tune = gnn.compression.hybrid.fine_tune

    def record(model: GraphModel, task: Task, kept: Any, *arguments: Any) -> Any:  # noqa: ANN401
        masks.append(dict(kept.kept))
        return fine_tune(model, task, kept, *arguments)

    for module in (gnn.compression.hybrid, gnn.compression.retraining):
        monkeypatch.setattr(module, "fine_tune", record)
    return masks


@pytest.mark.parametrize("case", UNSTRUCTURED)
@pytest.mark.parametrize("name", NAMES)
def test_removed_weights_are_zero_in_the_integers_and_as_many_as_asked_for(
    name: str,
    case: str,
    tasks: dict[str, Task],
    dense: Callable[[str], GraphModel],
    masked: list[dict[str, Tensor]],
    tmp_path: Path,
) -> None:
    settings, task = UNSTRUCTURED[case], task_for(name, tasks)
    compressed = compress(dense(name), settings, toy_context(name, task, tmp_path))
    assert is_integer(compressed.model)
    plain = plain_model(compressed.model)
    first, last = masked
    assert bool(first) == (settings.order == "prune-first")
    removed = 0
    for key, kept in last.items():
        weight = plain.get_parameter(key.replace("parametrizations.", "").removesuffix(".original"))
        assert not weight[~kept].any()
        removed += int((~kept).sum())
    weights = sum(getattr(module, key).numel() for _, module, key in prunable_parameters(plain))
    assert removed == round(settings.pruning.sparsity * weights)
    assert sparsity_of(plain)[0] >= removed / weights
    assert sparsity_of(plain)[0] < 1
    assert compressed.masks.kept == {}
    assert compressed.quantized == tuple(integer_weights(compressed.model))


def test_quantized_first_the_smallest_quantized_weights_go(dense: Callable[[str], GraphModel]) -> None:
    model = Quantization("range", 4, ("convs.0.nn.0",)).apply(dense("gin")).train()
    names = [name for name, _, _ in prunable_parameters(dense("gin"))]
    # In training, a look at a weight is what gives its quantizer a range.
    values = {name: attrgetter(name)(model).detach() for name in names}
    kept = {
        key.replace("parametrizations.", "").removesuffix(".original"): mask
        for key, mask in mask_quantized(model, 0.6).kept.items()
    }
    assert sorted(kept) == sorted(names)
    removed, left = (torch.cat([values[name][kept[name] == part].abs() for name in names]) for part in (False, True))
    assert removed.max() <= left.min()
    assert len(removed) == round(0.6 * (len(removed) + len(left)))


@pytest.mark.parametrize("name", NAMES)
def test_whole_channels_leave_a_narrower_integer_model_that_is_stored(
    name: str, tasks: dict[str, Task], dense: Callable[[str], GraphModel], tmp_path: Path
) -> None:
    task = task_for(name, tasks)
    model = dense(name)
    before = sum(getattr(module, key).numel() for _, module, key in prunable_parameters(model))
    compressed = compress(model, Hybrid(Structured(0.5)), toy_context(name, task, tmp_path))
    integer = compressed.model
    plain = plain_model(integer)
    left = sum(getattr(module, key).numel() for _, module, key in prunable_parameters(plain))
    assert left <= 0.5 * before + 1
    assert integer.settings == plain.settings != model.settings
    storage.save(integer, tmp_path / "model", model_name=name, task=task.name)
    loaded = storage.load(tmp_path / "model").model
    assert same(loaded, integer)
    assert loaded.settings == integer.settings
    assert loaded.quantization == integer.quantization
    assert torch.equal(logits(loaded, task), logits(integer, task))


@pytest.mark.parametrize("case", [*UNSTRUCTURED, "structured"])
def test_a_second_call_reads_what_the_first_one_made(
    case: str,
    tasks: dict[str, Task],
    dense: Callable[[str], GraphModel],
    masked: list[dict[str, Tensor]],
    tmp_path: Path,
) -> None:
    settings = UNSTRUCTURED.get(case, Hybrid(Structured(0.5)))
    context = toy_context("gnnnet", tasks["graph-classification"], tmp_path)
    found = [compress(dense("gnnnet"), settings, context) for _ in range(2)]
    assert len(masked) == 2
    assert same(found[0].model, found[1].model)
    assert found[0].extra_training_s == found[1].extra_training_s
    assert 0 < found[0].extra_training_s < 100
    assert found[0].fitted is None
    simulated = found[0].simulated
    assert simulated is not None
    assert not simulated.training
    difference = (logits(simulated, context.task) - logits(found[0].model, context.task)).abs()
    assert float(difference.max()) <= 0.1 * float(logits(simulated, context.task).abs().max())
    compress(dense("gnnnet"), Hybrid(settings.pruning, 5, settings.order), context)
    # What is fine-tuned before it is quantized is the same for all bit widths.
    assert len(masked) == (3 if settings.order == "prune-first" else 4)


def test_both_rounds_of_fine_tuning_count(
    tasks: dict[str, Task], dense: Callable[[str], GraphModel], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    epochs: list[int] = []
    seconds: list[float] = []
    fine_tune = gnn.compression.hybrid.fine_tune

    def record(*arguments: Any) -> Any:  # noqa: ANN401
        fitted = fine_tune(*arguments)
        epochs.append(fitted.epochs)
        seconds.append(fitted.cpu_s)
        return fitted

    for module in (gnn.compression.hybrid, gnn.compression.retraining):
        monkeypatch.setattr(module, "fine_tune", record)
    for order in ("prune-first", "quantize-first"):
        context = toy_context("gnnnet", tasks["graph-classification"], tmp_path)
        compressed = compress(dense("gnnnet"), Hybrid(GlobalMagnitude(0.5), 8, order), context)
        assert compressed.extra_training_s == pytest.approx(sum(seconds[-2:]))
    assert epochs == [EPOCHS] * 4


@pytest.mark.parametrize(
    ("settings", "case_id"),
    [
        (Hybrid(Structured(0.8)), "cora-node.spline.structured.s0.8.int8"),
        (Hybrid(LayerAdaptive(0.8)), "cora-node.spline.layer-adaptive.s0.8.int8"),
        (Hybrid(GlobalMagnitude(0.8), 4), "cora-node.spline.global.s0.8.int4"),
        (Hybrid(GlobalMagnitude(0.8), 8, "quantize-first"), "cora-node.spline.int8.global.s0.8"),
        (Hybrid(GlobalMagnitude(0.5), 4, "quantize-first"), "cora-node.spline.int4.global.s0.5"),
    ],
)
def test_an_id_says_what_comes_first(settings: Hybrid, case_id: str) -> None:
    assert Case("cora-node", "spline", settings).id == case_id
    assert settings.compresses


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            (Structured(0.8), 8, "quantize-first"),
            r"^whole channels cannot be removed from a quantized model",
        ),
        (
            (LayerAdaptive(0.8), 8, "quantize-first"),
            r"^layer-adaptive is not for quantized weights; give GlobalMagnitude, or prune first$",
        ),
        ((GlobalMagnitude(0.8), 8, "both"), r"^order 'both' is unknown; valid are: prune-first, quantize-first$"),
        ((GlobalMagnitude(0.8), 9), r"^bit_width 9 is outside 2 to 8"),
        ((GlobalMagnitude(0.8), 1, "quantize-first"), r"^bit_width 1 is outside 2 to 8"),
        ((GlobalMagnitude(0.8), 8.0), r"^bit_width 8\.0 is outside 2 to 8"),
    ],
)
def test_what_cannot_be_combined_is_refused(arguments: tuple[Any, ...], sentence: str) -> None:
    with pytest.raises(SettingError, match=sentence):
        Hybrid(*arguments)
