"""Models with a width for every layer and with fewer input features than their task has."""

import json
from typing import Any

import pytest
import torch

from gnn.errors import SettingError
from gnn.layers import CsrMatrix
from gnn.models import GraphModel, build_model, settings_mapping
from gnn.models.kept_features import keep_features, new_feature_mask
from gnn.tasks import Task
from tests.gnn.five_models import outputs_on_test, small_tasks

WIDTHS = {"gin": (3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13), "gnnnet": (5, 3, 7), "hgpsl": (6, 3, 1)}
OF_HGPSL = {"conv1.lin.weight": (6, 4), "conv2.weight": (6, 6), "pool1.att": (1, 12), "lin1.weight": (3, 12)}
SHAPES = {
    "gin": {"convs.0.nn.0.weight": (3, 4), "convs.0.nn.2.weight": (4, 3), "convs.1.nn.0.weight": (5, 4)},
    "gnnnet": {"gnn_layers.0.lin.weight": (5, 4), "gnn_layers.2.lin.weight": (7, 3), "mlps.0.weight": (2, 7)},
    "hgpsl": OF_HGPSL | {"lin2.weight": (1, 3), "lin3.weight": (2, 1)},
}


@pytest.fixture(scope="module")
def tasks() -> dict[str, Task]:
    return small_tasks()


def narrow(name: str, hidden_channels: Any = None) -> GraphModel:  # noqa: ANN401
    widths = WIDTHS[name] if hidden_channels is None else hidden_channels
    return build_model(name, {"in_channels": 4, "out_channels": 2, "hidden_channels": widths}).eval()


@pytest.mark.parametrize("name", WIDTHS)
def test_every_layer_has_the_width_it_was_given(name: str, tasks: dict[str, Task]) -> None:
    model = narrow(name)
    for tensor, shape in SHAPES[name].items():
        assert model.get_parameter(tensor).shape == shape
    assert outputs_on_test(model, tasks[name]).shape == (8, 2)


@pytest.mark.parametrize("name", WIDTHS)
def test_a_list_as_json_has_it_becomes_the_same_settings(name: str) -> None:
    model = narrow(name)
    rebuilt = build_model(name, json.loads(json.dumps(settings_mapping(model))))
    assert rebuilt.settings == model.settings
    assert rebuilt.settings.hidden_channels == WIDTHS[name]
    assert {key: tensor.shape for key, tensor in rebuilt.state_dict().items()} == {
        key: tensor.shape for key, tensor in model.state_dict().items()
    }


@pytest.mark.parametrize("name", WIDTHS)
def test_one_number_is_the_width_of_every_layer(name: str) -> None:
    one, listed = narrow(name, 8), narrow(name, {"gin": [8] * 11, "gnnnet": [8] * 3, "hgpsl": [8, 8, 4]}[name])
    assert one.settings.hidden_widths == listed.settings.hidden_widths
    assert {key: tensor.shape for key, tensor in one.state_dict().items()} == {
        key: tensor.shape for key, tensor in listed.state_dict().items()
    }


@pytest.mark.parametrize("name", WIDTHS)
@pytest.mark.parametrize("widths", [(), (3, 4), (3,) * 12])
def test_another_number_of_widths_is_refused(name: str, widths: tuple[int, ...]) -> None:
    with pytest.raises(SettingError) as caught:
        narrow(name, widths)
    assert str(caught.value) == (
        f"hidden_channels {widths} lists {len(widths)} widths for {len(WIDTHS[name])} hidden layers; give one "
        "for each, or one number"
    )


@pytest.mark.parametrize("name", WIDTHS)
@pytest.mark.parametrize("wrong", [0, 2.5, "3", None, [3]])
def test_a_width_that_is_none_is_refused(name: str, wrong: object) -> None:
    with pytest.raises(SettingError, match="must be whole numbers from 1 on"):
        narrow(name, (*WIDTHS[name][:-1], wrong))


def test_layers_of_one_width_take_one_number_only() -> None:
    with pytest.raises(SettingError, match=r"^sizes of a graph classifier must be whole numbers from 1 on"):
        narrow("gcn-readout", (3, 3))


@pytest.mark.parametrize(("name", "layer"), [("spline", "conv1.lin"), ("ness", "lin")])
def test_features_are_kept_by_a_buffer_that_default_models_do_not_have(
    name: str, layer: str, tasks: dict[str, Task]
) -> None:
    sizes = {"in_channels": 80} | ({"out_channels": 7} if name == "spline" else {})
    model = build_model(name, {**sizes, "kept_features": 3}).eval()
    mask = model.state_dict()["kept_features"]
    assert (mask.dtype, mask.tolist()) == (torch.uint8, [1] * 3 + [0] * 77)
    assert model.get_parameter(f"{layer}.weight").shape[1] == 3
    assert "kept_features" not in build_model(name, sizes).state_dict()
    rebuilt = build_model(name, json.loads(json.dumps(settings_mapping(model))))
    assert rebuilt.settings == model.settings
    if name == "spline":
        assert model.prepare(tasks[name]).features.shape == (210, 3)


def test_kept_features_are_the_named_columns() -> None:
    dense = torch.tensor([[1.0, 2.0, 0.0, 4.0], [0.0, 5.0, 6.0, 0.0]])
    row, column = dense.nonzero(as_tuple=True)
    features = CsrMatrix.from_coordinates(row, column, dense[row, column], (2, 4))
    kept = keep_features(features, torch.tensor([0, 1, 0, 1], dtype=torch.uint8), 2)
    assert torch.equal(kept.to_dense(), dense[:, [1, 3]])
    assert keep_features(features, new_feature_mask(None, 4), 4) is features


@pytest.mark.parametrize(("mask", "width"), [([1, 1, 0, 0], 3), ([1, 1, 1, 1], 2), ([1, 1, 0], 2)])
def test_a_mask_of_other_settings_is_refused(mask: list[int], width: int) -> None:
    none = torch.zeros(0, dtype=torch.int64)
    features = CsrMatrix.from_coordinates(none, none, torch.zeros(0), (2, 4))
    with pytest.raises(SettingError, match=r"load the state that belongs to its settings$"):
        keep_features(features, torch.tensor(mask, dtype=torch.uint8), width)


@pytest.mark.parametrize("kept", [0, -1, 81, 2.5, "3"])
@pytest.mark.parametrize("name", ["spline", "ness"])
def test_a_number_of_kept_features_that_cannot_be_is_refused(name: str, kept: object) -> None:
    with pytest.raises(SettingError, match=r"must be a whole number from 1 to in_channels 80, or None"):
        build_model(
            name, {"in_channels": 80, "kept_features": kept} | ({"out_channels": 7} if name == "spline" else {})
        )
