"""What GCN, GraphConv, GraphSAGE, NESS and SSP, the models for Cora, have in common; each has a file for the rest."""

import pytest
import torch
from torch.nn import functional
from torch_geometric.nn import GCNConv

from gnn.models import MODELS, build_model
from gnn.tasks import NodeClassification, Task
from tests.gnn.citation_checks import (
    check_equivariance,
    check_isolated_nodes,
    link_task,
    new_model,
    of_all,
)

# On Cora's 1433 words and 7 classes.
PARAMETERS = {"gcn": 23063, "graphconv": 23063, "graphsage": 191744, "ness": 45888, "ssp": 23063}


@pytest.fixture(params=sorted(PARAMETERS))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def task(name: str, small_task: NodeClassification) -> Task:
    """A small task of the model's kind."""
    return small_task if MODELS[name].task_kinds == ("node-classification",) else link_task()


def test_parameters_on_coras_sizes(name: str) -> None:
    classifies = MODELS[name].task_kinds == ("node-classification",)
    model = build_model(name, {"in_channels": 1433} | ({"out_channels": 7} if classifies else {}))
    assert sum(parameter.numel() for parameter in model.parameters()) == PARAMETERS[name]


def test_renumbering_nodes_moves_their_outputs(name: str, task: Task) -> None:
    check_equivariance(name, task)


def test_isolated_nodes_and_a_graph_without_edges(name: str, task: Task) -> None:
    check_isolated_nodes(name, task)


@pytest.mark.parametrize("name", ["gcn", "ssp"])
def test_forward_is_pygs_net_on_the_plain_graph(name: str, small_task: NodeClassification) -> None:
    model, graph = new_model(name, small_task), small_task.graph
    layers = [GCNConv(80, 16), GCNConv(16, 7)]
    for layer, own in zip(layers, ("conv1", "conv2"), strict=True):
        layer.load_state_dict(model.get_submodule(own).state_dict())
    words = graph.features.to_dense()
    hidden = functional.relu(layers[0](words / words.sum(1, keepdim=True).clamp(min=1), graph.edge_index))
    torch.testing.assert_close(of_all(model, small_task), layers[1](hidden, graph.edge_index), rtol=0, atol=1e-5)
