"""One case goes once through the whole pipe, and what is reported was shipped."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar, cast

import pytest
import torch

import gnn.compression.retraining
import gnn.trial
from gnn import storage
from gnn.artifacts import ArtifactStore
from gnn.case import Case
from gnn.compression import METHODS, Compressed, Context, Dense, FineGrained, GlobalMagnitude, Masks, sparsity_of
from gnn.compression.registry import RegisteredMethod
from gnn.errors import SettingError, StorageError
from gnn.models import MODELS, GraphModel
from gnn.shipped import bit_widths_of, ship
from gnn.tasks import DataSource, Task
from gnn.training import Fitted, evaluate
from gnn.training_settings import Recipe, TrainingSettings
from gnn.trial import BaseModel, Run, RunContext, Trial

PLANTED = {"cora-node": DataSource("planted")}
DENSE = Case("planted-cora-node", "spline", Dense())
GLOBAL = Case("planted-cora-node", "spline", GlobalMagnitude(0.8))
TUNED = replace(GLOBAL, fine_tune=True)
FINE_GRAINED = Case("planted-cora-node", "spline", FineGrained(0.5))
SETTINGS = TrainingSettings(0.01, 5e-3, epochs=8, patience=8)
SHORT = Recipe(SETTINGS, replace(SETTINGS, epochs=3))


def base_of(case: Case, seed: int, run_context: RunContext) -> BaseModel:
    return Trial(case, seed, run_context).base


@pytest.fixture(autouse=True)
def short_training() -> Iterator[None]:
    """Long enough to learn, short enough to test."""
    with MODELS.temporarily("spline", replace(MODELS["spline"], recipe=SHORT)):
        yield


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The seeds of the base models that were trained since the test began."""
    seeds: list[int] = []
    real = gnn.trial.fit

    def count(model: GraphModel, task: Task, settings: TrainingSettings, seed: int) -> Fitted:
        seeds.append(seed)
        return real(model, task, settings, seed)

    monkeypatch.setattr(gnn.trial, "fit", count)
    return seeds


@pytest.fixture(scope="module")
def run_context(tmp_path_factory: pytest.TempPathFactory) -> RunContext:
    return RunContext(ArtifactStore(tmp_path_factory.mktemp("store")), PLANTED)


def task_of(run_context: RunContext) -> Task:
    return run_context.task("cora-node")


def weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def check_consistency(case: Case, outcome: Run, run_context: RunContext) -> None:
    model = outcome.model
    evaluation = evaluate(model, task_of(run_context))
    assert (outcome.accuracy, outcome.other_scores) == (evaluation.score, evaluation.others)
    assert outcome.parameters == 69143
    assert outcome.state_entries == sum(tensor.numel() for tensor in model.state_dict().values()) >= 69143
    assert 1 <= outcome.best_epoch <= outcome.epochs == SETTINGS.epochs
    parameters = list(model.parameters())
    assert outcome.nonzero_parameters == sum(int((parameter != 0).sum()) for parameter in parameters)
    assert (outcome.sparsity, outcome.layer_sparsity) == sparsity_of(model)
    sizes = {name: model.get_parameter(name).numel() for name in outcome.layer_sparsity}
    zeros = sum(share * sizes[name] for name, share in outcome.layer_sparsity.items())
    assert zeros / sum(sizes.values()) == pytest.approx(outcome.sparsity, abs=1e-12)
    size = outcome.size_bytes
    assert (size.dense, size.algorithm1) == (storage.dense_size_bytes(model), storage.algorithm1_size_bytes(model))
    assert size.entropy_bound == storage.entropy_bound_bytes(model)
    assert 0 < size.encoded < size.dense
    assert size.dense > 4 * 69143
    assert outcome.training_s > 0
    assert case.dense == (outcome.compressed_tensors == 0)


def test_a_dense_case_is_the_base_of(run_context: RunContext) -> None:
    outcome = Trial(DENSE, 0, run_context).run()
    check_consistency(DENSE, outcome, run_context)
    assert outcome.accuracy == outcome.dense_accuracy > 0.4
    assert outcome.sparsity == 0
    assert same(weights(outcome.model), weights(Trial(DENSE, 0, run_context).base.model))


def test_a_pruned_case_has_its_sparsity(run_context: RunContext) -> None:
    outcome = Trial(GLOBAL, 0, run_context).run()
    check_consistency(GLOBAL, outcome, run_context)
    prunable = 69143 - 16 - 7
    assert outcome.sparsity == round(0.8 * prunable) / prunable
    assert outcome.compressed_tensors == 4
    assert outcome.size_bytes.encoded < 0.4 * outcome.size_bytes.dense
    assert outcome.size_bytes.algorithm1 < 0.3 * outcome.size_bytes.dense
    dense = Trial(DENSE, 0, run_context).run()
    assert outcome.dense_accuracy == dense.accuracy
    assert outcome.size_bytes.dense == dense.size_bytes.dense
    assert outcome.training_s == dense.training_s


def test_fine_tuning_keeps_the_sparsity_and_takes_time(run_context: RunContext) -> None:
    pruned, tuned = Trial(GLOBAL, 0, run_context).run(), Trial(TUNED, 0, run_context).run()
    check_consistency(TUNED, tuned, run_context)
    assert tuned.layer_sparsity == pruned.layer_sparsity
    assert tuned.training_s > pruned.training_s
    assert tuned.dense_accuracy == pruned.dense_accuracy
    assert not same(weights(tuned.model), weights(pruned.model))


def test_fine_tuning_has_its_own_settings_and_seed(run_context: RunContext, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[TrainingSettings, int]] = []
    real = gnn.compression.retraining.fine_tune

    def record(model: GraphModel, task: Task, masks: Masks, settings: TrainingSettings, seed: int) -> Fitted:
        asked.append((settings, seed))
        return real(model, task, masks, settings, seed)

    monkeypatch.setattr(gnn.compression.retraining, "fine_tune", record)
    Trial(GLOBAL, 1, run_context).run()
    assert asked == []
    Trial(TUNED, 1, run_context).run()
    assert asked == [(SHORT.fine_tuning, 1)]


def test_fine_grained_layers_all_have_the_share(run_context: RunContext) -> None:
    outcome = Trial(FINE_GRAINED, 0, run_context).run()
    check_consistency(FINE_GRAINED, outcome, run_context)
    assert set(outcome.layer_sparsity.values()) == {0.5}


def test_a_run_repeats_to_the_bit(run_context: RunContext, tmp_path: Path) -> None:
    first, again = (
        Trial(TUNED, 1, run_context).run(),
        Trial(TUNED, 1, RunContext(ArtifactStore(tmp_path), PLANTED)).run(),
    )
    assert same(weights(first.model), weights(again.model))
    assert (first.accuracy, first.size_bytes) == (again.accuracy, again.size_bytes)


def test_a_base_model_is_trained_once_per_seed(fits: list[int], tmp_path: Path) -> None:
    run_context = RunContext(ArtifactStore(tmp_path), PLANTED)
    outcomes = [Trial(case, seed, run_context).run() for seed in (0, 1) for case in (DENSE, GLOBAL, FINE_GRAINED)]
    assert fits == [0, 1]
    assert len({outcome.dense_accuracy for outcome in outcomes[:3]}) == 1
    assert len({outcome.training_s for outcome in outcomes[:3]}) == 1
    assert not same(weights(outcomes[0].model), weights(outcomes[3].model))
    Trial(DENSE, 0, RunContext(ArtifactStore(tmp_path), PLANTED)).run()
    assert fits == [0, 1]


def test_compressing_one_case_leaves_the_base_model_of_the_next(run_context: RunContext) -> None:
    before = weights(Trial(DENSE, 0, run_context).base.model)
    Trial(TUNED, 0, run_context).run()
    assert same(weights(Trial(DENSE, 0, run_context).base.model), before)


def test_a_base_model_has_the_bits_of_its_training_whether_built_or_read(tmp_path: Path) -> None:
    run_context = RunContext(ArtifactStore(tmp_path), PLANTED)
    built, read = Trial(DENSE, 2, run_context).base, Trial(DENSE, 2, run_context).base
    assert same(weights(built.model), weights(read.model))
    assert built.training_s == read.training_s > 0
    assert (built.best_epoch, built.epochs) == (read.best_epoch, read.epochs)
    assert built.epochs == SETTINGS.epochs
    assert not built.model.training
    assert not read.model.training


def test_other_training_settings_train_again(fits: list[int], tmp_path: Path) -> None:
    run_context = RunContext(ArtifactStore(tmp_path), PLANTED)
    base_of(DENSE, 0, run_context)
    decayed = replace(SHORT, training=replace(SETTINGS, weight_decay=1e-3))
    with MODELS.temporarily("spline", replace(MODELS["spline"], recipe=decayed)):
        base_of(DENSE, 0, run_context)
    assert fits == [0, 0]


@pytest.mark.parametrize("settings", [GlobalMagnitude(0.0), FineGrained(0.0), GlobalMagnitude(1e-6)])
def test_a_method_that_compresses_nothing_is_an_error(
    run_context: RunContext, settings: GlobalMagnitude | FineGrained
) -> None:
    case = Case("planted-cora-node", "spline", settings)
    with pytest.raises(SettingError) as caught:
        Trial(case, 0, run_context).run()
    assert str(caught.value) == (f"{case.id} compressed no tensor at all; raise its sparsity or use the dense case")


def test_what_cannot_work_is_known_before_the_base_model_is_trained(
    fits: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_model: GraphModel, settings: Dense, _context: Context) -> None:
        raise SettingError(f"{settings.method} cannot work")

    monkeypatch.setitem(METHODS._entries, "dense", replace(METHODS["dense"], check=refuse))
    with pytest.raises(SettingError, match=r"^dense cannot work$"):
        Trial(DENSE, 0, RunContext(ArtifactStore(tmp_path), PLANTED)).run()
    assert fits == []


def test_tensors_count_as_compressed_when_they_lost_a_weight() -> None:
    all_kept, one_lost = torch.ones(3, dtype=torch.bool), torch.tensor([True, False, True])
    model = SimpleNamespace()

    def count(masks: dict[str, torch.Tensor], shrunk: tuple[str, ...] = ()) -> int:
        return Compressed(cast(GraphModel, model), Masks(masks), shrunk=shrunk).compressed_tensors

    assert count({}) == 0
    assert count({"a": all_kept, "b": one_lost, "c": all_kept}) == 1
    assert count({"a": all_kept, "b": one_lost}, shrunk=("b", "d")) == 2


@pytest.mark.parametrize(("precision", "bits"), [("fp32", 32), ("fp16", 16), ("int4", 4)])
def test_the_bits_of_a_model_in_fp32_are_those_of_its_file(run_context: RunContext, precision: str, bits: int) -> None:
    trial = Trial(DENSE, 0, run_context)
    model, biases = trial.initial(), 16 + 7
    weights = sum(parameter.numel() for parameter in model.parameters()) - biases
    found = bit_widths_of(model, model, trial.task, precision)
    assert found.weights == found.mean == (32 * biases + bits * weights) / (biases + weights)
    assert (found.activations, found.histogram) == (32, None)


def test_accuracy_is_that_of_the_model_that_was_read_back(
    run_context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = storage.load

    def load_damaged(path: Path, **how: Any) -> storage.LoadedModel:  # noqa: ANN401
        loaded = real(path, **how)
        with torch.no_grad():
            loaded.model.get_parameter("conv2.bias")[0] += 1e-7
        return loaded

    monkeypatch.setattr(gnn.trial.storage, "load", load_damaged)
    with pytest.raises(StorageError) as caught:
        Trial(DENSE, 0, run_context).run()
    assert str(caught.value) == f"tensor conv2.bias of {DENSE.id} came back from its file with other bits"


def test_a_size_that_is_not_the_files_is_an_error(run_context: RunContext, monkeypatch: pytest.MonkeyPatch) -> None:
    real = storage.save

    def save_and_miscount(model: GraphModel, path: Path, *, model_name: str, task: str, precision: str) -> int:
        return real(model, path, model_name=model_name, task=task, precision=precision) - 1

    monkeypatch.setattr(gnn.trial.storage, "save", save_and_miscount)
    with pytest.raises(StorageError, match=r"^planted-cora-node\.spline\.dense wrote \d+ bytes but counted \d+$"):
        Trial(DENSE, 0, run_context).run()


def test_shipping_gives_a_fresh_model(new_model: Callable[[int], GraphModel]) -> None:
    model = new_model(0)
    loaded, size_bytes = ship(model, DENSE)
    assert same(weights(loaded), weights(model))
    assert size_bytes.payload > size_bytes.overhead > 0
    with torch.no_grad():
        model.get_parameter("conv1.bias").fill_(3.0)
    assert not same(weights(loaded), weights(model))


def test_a_new_method_needs_nothing_but_its_registration(run_context: RunContext) -> None:
    class Beheading(Dense):
        method: ClassVar[str] = "beheading"

    def behead(model: GraphModel, settings: Beheading, context: Context) -> Compressed:  # noqa: ARG001
        weight = model.get_parameter("conv2.weight")
        masks = Masks({"conv2.weight": torch.zeros_like(weight, dtype=torch.bool)})
        masks.apply(model)
        return Compressed(model, masks, extra_training_s=1.5, needs_dense=False)

    with METHODS.temporarily("beheading", RegisteredMethod(Beheading, behead)):
        outcome = Trial(Case("planted-cora-node", "spline", Beheading()), 0, run_context).run()
    assert outcome.layer_sparsity["conv2.weight"] == 1.0
    assert (outcome.compressed_tensors, outcome.training_s) == (1, 1.5)


def test_a_run_context_loads_a_task_once_and_names_planted_data(run_context: RunContext) -> None:
    task = task_of(run_context)
    assert (task.name, task.source) == ("planted-cora-node", "planted")
    assert task is task_of(run_context)
