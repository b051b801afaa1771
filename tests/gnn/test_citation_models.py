"""What GCN, GraphConv, GraphSAGE, NESS and SSP, the models for Cora, have in common; each has a file for the rest."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional
from torch_geometric.nn import GCNConv

from gnn.errors import SettingError
from gnn.models import MODELS, build_model
from gnn.models.ssp import PRECONDITIONING
from gnn.tasks import NodeClassification, Task
from gnn.training_settings import TrainingSettings
from tests.gnn.citation_checks import (
    check_equivariance,
    check_file,
    check_isolated_nodes,
    check_learning,
    check_wrong_task,
    link_task,
    new_model,
    of_all,
)

WRONG_NODE_SETTINGS = [{"in_channels": 0}, {"hidden_channels": 1.5}, {"dropout": 1.0}, {"dropout": -0.1}]
# A short run that learns something, parameters on Cora's 1433 words and 7 classes, and settings out of range.
SHORT = {
    "gcn": TrainingSettings(0.05, 0.0, epochs=20, patience=20),
    "graphconv": TrainingSettings(0.05, 0.0, epochs=20, patience=20),
    "graphsage": TrainingSettings(0.01, 0.0, epochs=20, patience=20),
    "ness": TrainingSettings(0.01, 0.0, epochs=30, patience=30),
    "ssp": TrainingSettings(0.05, 0.0, epochs=20, patience=20, preconditioner=PRECONDITIONING),
}
PARAMETERS = {"gcn": 23063, "graphconv": 23063, "graphsage": 191744, "ness": 45888, "ssp": 23063}
WRONG: dict[str, list[dict[str, Any]]] = {
    "gcn": WRONG_NODE_SETTINGS,
    "graphconv": WRONG_NODE_SETTINGS,
    "graphsage": [{"in_channels": 0}, {"channels": 1.5}, {"dropout": 1.0}, {"dropout": -0.1}],
    "ness": [
        {"in_channels": 0},
        {"channels": 1.5},
        {"subgraphs": 0},
        {"edge_dropout": 1.0},
        {"edge_dropout": -0.1},
        {"temperature": 0.0},
        {"contrastive_weight": -1.0},
    ],
    "ssp": WRONG_NODE_SETTINGS,
}


def sizes_of(name: str, in_channels: int, out_channels: int) -> dict[str, Any]:
    """The settings without a default."""
    classifies = MODELS[name].task_kinds == ("node-classification",)
    return {"in_channels": in_channels} | ({"out_channels": out_channels} if classifies else {})


@pytest.fixture(params=sorted(SHORT))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def task(name: str, small_task: NodeClassification) -> Task:
    """A small task of the model's kind."""
    return small_task if MODELS[name].task_kinds == ("node-classification",) else link_task()


def test_parameters_on_coras_sizes(name: str) -> None:
    model = build_model(name, sizes_of(name, 1433, 7))
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS[name]


def test_renumbering_nodes_moves_their_outputs(name: str, task: Task) -> None:
    check_equivariance(name, task)


def test_isolated_nodes_and_a_graph_without_edges(name: str, task: Task) -> None:
    check_isolated_nodes(name, task)


def test_a_task_of_another_kind_is_refused(name: str, task: Task) -> None:
    check_wrong_task(name, task)


def test_a_file_gives_the_same_logits(name: str, task: Task, tmp_path: Path) -> None:
    check_file(name, task, tmp_path)


def test_training_lowers_the_loss(name: str, task: Task) -> None:
    check_learning(name, task, SHORT[name])


@pytest.mark.parametrize(("name", "wrong"), [(name, wrong) for name in WRONG for wrong in WRONG[name]])
def test_settings_out_of_range_are_refused(name: str, wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match=str(next(iter(wrong.values())))):
        build_model(name, sizes_of(name, 3, 2) | wrong)


@pytest.mark.parametrize("name", ["gcn", "ssp"])
def test_forward_is_pygs_net_on_the_plain_graph(name: str, small_task: NodeClassification) -> None:
    model, graph = new_model(name, small_task), small_task.graph
    layers = [GCNConv(80, 16), GCNConv(16, 7)]
    for layer, own in zip(layers, ("conv1", "conv2"), strict=True):
        layer.load_state_dict(model.get_submodule(own).state_dict())
    words = graph.features.to_dense()
    hidden = functional.relu(layers[0](words / words.sum(1, keepdim=True).clamp(min=1), graph.edge_index))
    torch.testing.assert_close(of_all(model, small_task), layers[1](hidden, graph.edge_index), rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["graphconv", "graphsage"])
def test_dropout_reaches_the_hidden_layer_in_training_only(name: str, task: Task) -> None:
    model = new_model(name, task)
    inputs = model.prepare(task)
    torch.manual_seed(0)
    assert not torch.equal(model.train()(inputs), model(inputs))
    assert torch.equal(model.eval()(inputs), model(inputs))
