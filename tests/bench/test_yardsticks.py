"""A yardstick computes what the model computes; a faster wrong answer would be no speed-up."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from bench.matrix import PRUNING
from bench.yardsticks import EAGER, REFERENCE, Yardstick
from bench.yardsticks.spline import EagerSplineNet
from gnn.layers import CsrMatrix
from gnn.models import MODELS, GraphModel, build_model_for
from gnn.models.spline import SplineNet, SplineNetSettings
from gnn.runtime import compile_inference
from gnn.tasks import Graph, NodeClassification, Split
from gnn.tasks.planted import PlantedCitationGraph, plant_citation_graph
from gnn.training import fit

SETTINGS = PlantedCitationGraph(
    nodes=60, undirected_edges=90, class_sizes=(20, 25, 15), edge_homophily=0.8, features=40, words_per_node=6
)


@pytest.fixture
def task() -> NodeClassification:
    """A small planted graph, and one more node that nobody cites and that cites nobody."""
    tensors = plant_citation_graph(SETTINGS)
    value = torch.rand(len(tensors.feature_row), generator=torch.Generator().manual_seed(0))
    shape = (SETTINGS.nodes + 1, SETTINGS.features)
    features = CsrMatrix.from_coordinates(tensors.feature_row, tensors.feature_column, value, shape)
    graph = Graph(features, tensors.edge_index, torch.cat((tensors.labels, torch.tensor([0]))))
    train, validation, test = torch.arange(shape[0]).split([41, 10, 10])
    return NodeClassification("planted-cora-node", "planted", "clean", graph, Split(train, validation, test), 3)


@pytest.fixture
def model(task: NodeClassification) -> GraphModel:
    torch.manual_seed(0)
    model = build_model_for("spline", task).eval()
    for parameter in model.parameters():
        # Fresh biases are zero, and a yardstick without them would look right.
        torch.nn.init.normal_(parameter, std=0.5)
    return model


@torch.no_grad()
def logits(model: GraphModel, task: NodeClassification) -> Tensor:
    return model(model.prepare(task))


def test_eager_spline_is_the_model(model: GraphModel, task: NodeClassification) -> None:
    expected = logits(model, task)
    assert expected.std() > 0.1
    torch.testing.assert_close(EAGER["spline"](model, task)(), expected, rtol=0, atol=1e-5)


def test_the_runtime_is_what_the_yardstick_says(model: GraphModel, task: NodeClassification) -> None:
    eager, compiled = EAGER["spline"](model, task), compile_inference("spline", model, task)
    torch.testing.assert_close(compiled(), eager(), rtol=0, atol=1e-5)


def test_the_reference_is_the_runtime_of_a_dense_model(model: GraphModel, task: NodeClassification) -> None:
    reference, compiled = REFERENCE["spline"](model, task), compile_inference("spline", model, task)
    assert torch.equal(reference(), compiled())
    torch.testing.assert_close(reference(), logits(model, task), rtol=0, atol=1e-5)


@pytest.mark.parametrize("yardsticks", [EAGER, REFERENCE], ids=["eager", "reference"])
def test_a_second_call_gives_the_same(
    yardsticks: dict[str, Yardstick], model: GraphModel, task: NodeClassification
) -> None:
    infer = yardsticks["spline"](model, task)
    first = infer().clone()
    assert torch.equal(infer(), first)


def test_eager_spline_learns_what_the_model_learns(task: NodeClassification) -> None:
    settings = replace(SplineNetSettings.for_task(task), dropout=0.0)
    training = replace(MODELS["spline"].training, epochs=5)
    trained = []
    for architecture in (SplineNet, EagerSplineNet):
        torch.manual_seed(0)
        model = architecture(settings)
        start = {name: parameter.clone() for name, parameter in model.named_parameters()}
        fit(model, task, training, seed=0)
        assert [name for name, before in start.items() if torch.equal(model.get_parameter(name), before)] == []
        trained.append(model.state_dict())
    torch.testing.assert_close(trained[1], trained[0], rtol=0, atol=1e-4)


def test_eager_spline_drops_out_features_and_hidden_channels_while_it_trains_and_only_then(
    task: NodeClassification, monkeypatch: pytest.MonkeyPatch
) -> None:
    dropout, dropped = functional.dropout, []

    def noted(values: Tensor, share: float, training: bool) -> Tensor:
        result = dropout(values, share, training)
        dropped.append((tuple(values.shape), not torch.equal(result, values)))
        return result

    monkeypatch.setattr(functional, "dropout", noted)
    eager = EagerSplineNet(SplineNetSettings.for_task(task))
    inputs = eager.prepare(task)
    shapes = [tuple(task.graph.features.shape), (task.graph.features.shape[0], 16)]
    for training in (True, False):
        dropped.clear()
        eager.train(training)(inputs)
        assert dropped == [(shape, training) for shape in shapes]


def test_every_model_of_the_table_has_its_yardsticks() -> None:
    models = {row.case.model for row in PRUNING}
    assert models <= EAGER.keys()
    assert models <= REFERENCE.keys()
