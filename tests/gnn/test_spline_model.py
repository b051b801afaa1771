"""SplineNet has the paper's size, fits its task, and is rebuilt from its settings."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import pytest
import torch
from torch.nn import functional

from gnn.errors import SettingError
from gnn.layers import CsrMatrix
from gnn.models import MODELS, GraphModel, build_model, build_model_for, settings_mapping
from gnn.models.spline import SplineNet, SplineNetSettings, target_indegree
from gnn.tasks import Graph, NodeClassification


@dataclass(frozen=True, eq=False)
class OtherTask(NodeClassification):
    """A task of a kind that no node classifier fits."""

    kind: ClassVar[str] = "graph-classification"


def test_parameters_on_coras_sizes_are_the_papers() -> None:
    model = SplineNet(SplineNetSettings(in_channels=1433, out_channels=7))
    assert sum(parameter.numel() for parameter in model.parameters()) == 69143


def test_sizes_come_from_the_task(small_task: NodeClassification) -> None:
    model = build_model_for("spline", small_task)
    assert settings_mapping(model) == {
        "in_channels": 80,
        "out_channels": 7,
        "hidden_channels": 16,
        "kernel_size": 2,
        "dropout": 0.5,
        "kept_features": None,
    }
    assert model(model.prepare(small_task)).shape == (210, 7)


def test_a_task_of_another_kind_is_refused_with_a_sentence(small_task: NodeClassification) -> None:
    task = OtherTask(**{**vars(small_task), "name": "molecules"})
    with pytest.raises(SettingError) as caught:
        build_model_for("spline", task)
    assert str(caught.value).startswith(
        "model 'spline' is for node-classification, not for graph-classification (molecules); models that fit are: "
    )


@pytest.mark.parametrize(
    "change", [{}, {"hidden_channels": 5}, {"kernel_size": 3, "dropout": 0.25}, {"kept_features": 4}]
)
def test_settings_survive_json_and_build_the_same_model(change: dict[str, Any]) -> None:
    model = SplineNet(SplineNetSettings(**({"in_channels": 11, "out_channels": 3} | change)))
    rebuilt = build_model("spline", json.loads(json.dumps(settings_mapping(model))))
    assert rebuilt.settings == model.settings
    shapes = [{name: t.shape for name, t in m.state_dict().items()} for m in (model, rebuilt)]
    assert shapes[0] == shapes[1]


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"in_channels": 11},
        {"in_channels": 11, "out_channels": 3, "depth": 2},
        {"in_channels": "11", "out_channels": 3},
        {"in_channels": 11.5, "out_channels": 3},
        {"in_channels": -1, "out_channels": 3},
        {"in_channels": 0, "out_channels": 3},
        {"in_channels": 11, "out_channels": 3, "hidden_channels": 0},
        {"in_channels": 11, "out_channels": 3, "kernel_size": 0},
        {"in_channels": 11, "out_channels": 3, "dropout": 1.5},
        {"in_channels": 11, "out_channels": 3, "dropout": float("nan")},
        {"in_channels": 11, "out_channels": 3, "kept_features": 0},
        {"in_channels": 11, "out_channels": 3, "kept_features": 12},
        {"in_channels": 11, "out_channels": 3, "kept_features": 2.5},
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(SettingError):
        build_model("spline", wrong)


def test_forward_is_the_equation(small_task: NodeClassification, new_model: Callable[[int], GraphModel]) -> None:
    model = new_model(0).eval()
    assert isinstance(model, SplineNet)
    graph = small_task.graph
    pseudo = target_indegree(graph.edge_index)
    hidden = functional.elu(model.conv1(graph.features.to_dense(), graph.edge_index, pseudo))
    expected = model.conv2(hidden, graph.edge_index, pseudo)
    torch.testing.assert_close(model(model.prepare(small_task)), expected)


def test_dropout_on_features_draws_only_for_entries_that_are_there(
    small_task: NodeClassification, new_model: Callable[[int], GraphModel]
) -> None:
    model = new_model(0)
    assert isinstance(model, SplineNet)
    seen: list[CsrMatrix] = []
    first_layer = model.conv1.propagate

    def record(features: CsrMatrix, operator: CsrMatrix) -> torch.Tensor:
        seen.append(features)
        return first_layer(features, operator)

    model.conv1.propagate = record  # pyright: ignore[reportAttributeAccessIssue]
    inputs = model.prepare(small_task)
    torch.manual_seed(0)
    model.train()(inputs)
    model.eval()(inputs)
    dropped, untouched = seen
    assert torch.equal(dropped.column, inputs.features.column)
    assert torch.equal(dropped.row_pointer, inputs.features.row_pointer)
    assert set(dropped.value.unique().tolist()) == {0.0, 2.0}
    assert (dropped.value == 0).double().mean().item() == pytest.approx(0.5, abs=0.05)
    assert torch.equal(untouched.value, inputs.features.value)
    assert torch.equal(inputs.features.value, torch.ones_like(inputs.features.value))


def test_dropout_reaches_the_hidden_layer(
    small_task: NodeClassification, new_model: Callable[[int], GraphModel]
) -> None:
    model = new_model(0).train()
    assert isinstance(model, SplineNet)
    seen: list[torch.Tensor] = []
    second_layer = model.conv2.propagate

    def record(features: torch.Tensor, operator: CsrMatrix) -> torch.Tensor:
        seen.append(features)
        return second_layer(features, operator)

    model.conv2.propagate = record  # pyright: ignore[reportAttributeAccessIssue]
    torch.manual_seed(0)
    model(model.prepare(small_task))
    assert (seen[0] == 0).double().mean().item() == pytest.approx(0.5, abs=0.05)


def test_evaluation_draws_no_random_numbers(
    small_task: NodeClassification, new_model: Callable[[int], GraphModel]
) -> None:
    model = new_model(0).eval()
    inputs = model.prepare(small_task)
    assert torch.equal(model(inputs), model(inputs))


def test_target_indegree_is_relative_to_the_largest() -> None:
    edge_index = torch.tensor([[0, 1, 2, 0], [3, 3, 3, 1]])
    torch.testing.assert_close(target_indegree(edge_index), torch.tensor([[1.0], [1.0], [1.0], [1 / 3]]))


def test_target_indegree_counts_incoming_edges_only() -> None:
    edge_index = torch.tensor([[3, 3, 3, 0], [0, 1, 2, 0]])
    torch.testing.assert_close(target_indegree(edge_index), torch.tensor([[1.0], [0.5], [0.5], [1.0]]))


def test_a_graph_without_edges_is_no_error(
    small_task: NodeClassification, new_model: Callable[[int], GraphModel]
) -> None:
    graph = small_task.graph
    none = torch.zeros(2, 0, dtype=torch.int64)
    task = replace(small_task, graph=Graph(graph.features, none, graph.labels))
    model = new_model(0).eval()
    logits = model(model.prepare(task))
    assert logits.shape == (210, 7)
    assert logits.isfinite().all()


def test_target_indegree_without_edges_is_empty() -> None:
    assert target_indegree(torch.zeros(2, 0, dtype=torch.int64)).shape == (0, 1)


def test_training_settings_are_those_of_the_paper() -> None:
    registered = MODELS["spline"]
    assert registered.task_kinds == ("node-classification",)
    recipe = registered.recipe
    assert (recipe.training.learning_rate, recipe.training.weight_decay) == (0.01, 5e-3)
    assert (recipe.training.epochs, recipe.training.patience) == (200, 100)
    assert (recipe.fine_tuning.learning_rate, recipe.fine_tuning.epochs) == (0.01, 30)
