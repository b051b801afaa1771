"""SplineNet has the paper's size, fits its task, and is rebuilt from its settings."""

from collections.abc import Callable

import pytest
import torch
from torch.nn import functional

from gnn.layers import CsrMatrix
from gnn.models import MODELS, GraphModel, build_model_for, settings_mapping
from gnn.models.spline import SplineNet, SplineNetSettings, target_indegree
from gnn.tasks import NodeClassification


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


def test_target_indegree_is_relative_to_the_largest() -> None:
    edge_index = torch.tensor([[0, 1, 2, 0], [3, 3, 3, 1]])
    torch.testing.assert_close(target_indegree(edge_index), torch.tensor([[1.0], [1.0], [1.0], [1 / 3]]))


def test_target_indegree_counts_incoming_edges_only() -> None:
    edge_index = torch.tensor([[3, 3, 3, 0], [0, 1, 2, 0]])
    torch.testing.assert_close(target_indegree(edge_index), torch.tensor([[1.0], [0.5], [0.5], [1.0]]))


def test_target_indegree_without_edges_is_empty() -> None:
    assert target_indegree(torch.zeros(2, 0, dtype=torch.int64)).shape == (0, 1)


def test_training_settings_are_those_of_the_paper() -> None:
    registered = MODELS["spline"]
    assert registered.task_kinds == ("node-classification",)
    recipe = registered.recipe
    assert (recipe.training.learning_rate, recipe.training.weight_decay) == (0.01, 5e-3)
    assert (recipe.training.epochs, recipe.training.patience) == (200, 100)
    assert (recipe.fine_tuning.learning_rate, recipe.fine_tuning.epochs) == (0.01, 30)
