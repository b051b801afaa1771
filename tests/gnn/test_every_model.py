"""What every registered model does: it fits its task, learns, repeats and comes back from its file."""

from pathlib import Path
from typing import Any

import pytest
import torch

from gnn import storage
from gnn.compression import Structured, compress
from gnn.determinism import deterministic
from gnn.errors import SettingError
from gnn.models import MODELS, GraphModel, build_model, build_model_for, settings_mapping
from gnn.tasks import GraphBatch, Task
from gnn.training import evaluate, fit, outputs_of
from gnn.training_settings import TrainingSettings
from tests.gnn.random_graphs import batch_of, random_task
from tests.gnn.toy_quantization import initial_model, same, task_for, tasks_of_every_kind, toy_context

NAMES = sorted(MODELS)
OUT_OF_RANGE = {
    ("hgpsl", "pooling_ratio"): (0.0, 1.5),
    ("hgpsl", "hidden_channels"): (1,),
    ("ness", "temperature"): (0.0,),
    ("ness", "contrastive_weight"): (-1.0,),
    ("spline", "kernel_size"): (1,),
    ("spline", "kept_features"): (0, 12, 2.5),
    ("supergat-readout", "heads"): (3,),
    ("supergat-readout", "attention_loss_weight"): (-1.0, float("inf"), float("nan")),
}


def sizes_of(name: str) -> dict[str, Any]:
    """The settings without a default."""
    links = MODELS[name].task_kinds == ("link-prediction",)
    return {"in_channels": 11} | ({} if links else {"out_channels": 3})


DEFAULTS = {name: settings_mapping(build_model(name, sizes_of(name))) for name in NAMES}


def wrong_settings() -> list[tuple[str, str, object]]:
    """Names of models and settings, and values that are out of range: sizes, shares, and what one model has alone."""
    found = [(*where, value) for where, values in OUT_OF_RANGE.items() for value in values]
    for name in NAMES:
        for setting, default in DEFAULTS[name].items():
            if type(default) is int and setting != "partition_seed":
                found += [(name, setting, value) for value in (0, -1, 1.5)]
            if "dropout" in setting:
                found += [(name, setting, value) for value in (-0.1, 1.0, float("nan"))]
            if setting == "feature_scaling":
                found.append((name, setting, "log"))
    return found


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def task(name: str) -> Task:
    return task_for(name, tasks_of_every_kind())


def test_its_settings_are_json_values_that_build_it_again(name: str) -> None:
    model = build_model(name, sizes_of(name))
    settings = settings_mapping(model)
    assert all(isinstance(value, str | int | float | None) for value in settings.values())
    again = build_model(name, settings)
    assert again.settings == model.settings
    assert again.state_dict().keys() == model.state_dict().keys()


@pytest.mark.parametrize(("name", "setting", "value"), wrong_settings())
def test_a_setting_out_of_range_is_refused_with_its_value(name: str, setting: str, value: object) -> None:
    with pytest.raises(SettingError) as caught:
        build_model(name, sizes_of(name) | {setting: value})
    assert setting in str(caught.value)
    assert str(value) in str(caught.value)


@pytest.mark.parametrize("change", [{"in_channels": None}, {"depth": 2}, {"in_channels": "11"}], ids=str)
def test_settings_that_are_missing_unknown_or_no_number_are_refused(name: str, change: dict[str, Any]) -> None:
    changed = {key: value for key, value in (sizes_of(name) | change).items() if value is not None}
    with pytest.raises(SettingError):
        build_model(name, changed)


def test_a_task_of_another_kind_is_refused(name: str, task: Task) -> None:
    for kind, other in tasks_of_every_kind().items():
        if kind not in MODELS[name].task_kinds:
            with pytest.raises(SettingError) as caught:
                build_model_for(name, other)
            assert str(caught.value).startswith(
                f"model {name!r} is for {task.kind}, not for {kind} ({other.name}); models that fit are: "
            )


# The links of the small task say nothing about each other: test_walkpooling_model has others.
@pytest.mark.parametrize("name", [name for name in NAMES if name != "walkpooling"])
def test_a_short_training_lowers_the_loss_and_repeats_to_the_bit(name: str, task: Task) -> None:
    def loss_of(model: GraphModel) -> float:
        with torch.no_grad():
            return float(task.loss(outputs_of(model, task, model.prepare(task), "train"), "train"))

    preconditioner = MODELS[name].recipe.training.preconditioner
    training = TrainingSettings(0.02, 0.0, epochs=20, patience=20, batch_size=8, preconditioner=preconditioner)
    models = [initial_model(name, task), initial_model(name, task)]
    before = loss_of(models[0])
    for model in models:
        fit(model, task, training, seed=0)
    assert loss_of(models[0]) < 0.95 * before
    assert same(*models)


@pytest.mark.parametrize("share", [0.0, 0.5])
@pytest.mark.parametrize("name", [name for name in NAMES if "dropout" in DEFAULTS[name]])
def test_dropout_is_drawn_only_where_it_is_set_and_only_in_training_mode(name: str, task: Task, share: float) -> None:
    settings = settings_mapping(initial_model(name, task))
    with deterministic(0):
        model = build_model(name, settings | {"dropout": share})
        inputs = model.prepare(task)
        training, evaluation = (
            [model.train(mode).outputs(task, inputs, "test") for _ in range(2)] for mode in (True, False)
        )
    assert torch.equal(*training) == (share == 0.0)
    assert torch.equal(*evaluation)


@pytest.mark.parametrize("name", [name for name in NAMES if "feature_scaling" in DEFAULTS[name]])
def test_asinh_scaling_is_that_of_the_features(name: str) -> None:
    task, batch = random_task(), batch_of([6, 3, 4])
    scaled = GraphBatch(batch.features.asinh(), batch.edge_index, batch.node_pointer, batch.labels)
    settings = settings_mapping(initial_model(name, task))
    plain, asinh = (build_model(name, settings | {"feature_scaling": way}).eval() for way in ("none", "asinh"))
    asinh.load_state_dict(plain.state_dict())
    assert torch.equal(asinh(batch), plain(scaled))
    assert not torch.equal(asinh(batch), plain(batch))


def test_it_comes_back_from_its_file_with_fewer_channels(name: str, task: Task, tmp_path: Path) -> None:
    narrow = compress(initial_model(name, task), Structured(0.5), toy_context(name, task, tmp_path)).model
    storage.save(narrow, tmp_path / "m", model_name=name)
    loaded = storage.load(tmp_path / "m").model
    assert sum(map(torch.numel, loaded.parameters())) < sum(map(torch.numel, initial_model(name, task).parameters()))
    assert same(loaded, narrow)
    assert evaluate(loaded, task) == evaluate(narrow, task)
