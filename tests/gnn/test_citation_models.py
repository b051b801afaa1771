"""What GCN, GraphConv, GraphSAGE, NESS and SSP, the models for Cora, share, and what GCN and SSP have alone."""

import pytest
import torch
from torch.nn import functional
from torch_geometric.nn import GCNConv

from gnn.models import MODELS, build_model
from gnn.models.ssp import PRECONDITIONING
from gnn.tasks import NodeClassification, Task
from tests.gnn.citation_checks import (
    NO_EDGES,
    link_task,
    new_model,
    of_all,
    with_messages,
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


@pytest.mark.parametrize("name", ["gcn", "ssp"])
def test_forward_is_pygs_net_with_edges_once_twice_and_none(name: str, small_task: NodeClassification) -> None:
    model, graph = new_model(name, small_task), small_task.graph
    layers = [GCNConv(80, 16), GCNConv(16, 7)]
    for layer, own in zip(layers, ("conv1", "conv2"), strict=True):
        layer.load_state_dict(model.get_submodule(own).state_dict())
    words = graph.features.to_dense()
    for edges in (graph.edge_index, graph.edge_index.repeat(1, 2), NO_EDGES):
        hidden = functional.relu(layers[0](words / words.sum(1, keepdim=True).clamp(min=1), edges))
        outputs = of_all(model, with_messages(small_task, edges))
        torch.testing.assert_close(outputs, layers[1](hidden, edges), rtol=0, atol=1e-5)


def test_dropout_comes_before_each_layer_of_gcn_in_training_only(
    small_task: NodeClassification, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropped: list[tuple[int, bool]] = []
    real = functional.dropout

    def record(values: torch.Tensor, share: float, training: bool) -> torch.Tensor:
        dropped.append((values.numel(), training))
        return real(values, share, training)

    monkeypatch.setattr(functional, "dropout", record)
    model = new_model("gcn", small_task)
    inputs = model.prepare(small_task)
    model.train()(inputs)
    model.eval()(inputs)
    words = len(small_task.graph.features.value)
    assert dropped == [(words, True), (210 * 16, True), (words, False), (210 * 16, False)]


def test_the_recipe_of_ssp_preconditions_training_and_fine_tuning() -> None:
    recipe = MODELS["ssp"].recipe
    assert recipe.training.preconditioner == recipe.fine_tuning.preconditioner == PRECONDITIONING
