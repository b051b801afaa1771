"""A yardstick computes what the model computes; a faster wrong answer would be no speed-up."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from bench.matrix import PRUNING
from bench.report.reported import read_reported
from bench.yardsticks import EAGER, REFERENCE
from bench.yardsticks.spline import EagerSplineNet
from gnn.layers import CsrMatrix
from gnn.models import MODELS, GraphModel, build_model_for
from gnn.models.spline import SplineNet, SplineNetSettings
from gnn.runtime import compile_inference
from gnn.tasks import Graph, NodeClassification, Split, Task
from gnn.tasks.planted import PlantedCitationGraph, plant_citation_graph
from gnn.training import fit, outputs_of
from tests.gnn.citation_checks import link_task
from tests.gnn.random_graphs import random_task

SETTINGS = PlantedCitationGraph(
    nodes=60, undirected_edges=90, class_sizes=(20, 25, 15), edge_homophily=0.8, features=40, words_per_node=6
)


def node_task() -> NodeClassification:
    """A small planted graph, and one more node that nobody cites and that cites nobody."""
    tensors = plant_citation_graph(SETTINGS)
    value = torch.rand(len(tensors.feature_row), generator=torch.Generator().manual_seed(0))
    shape = (SETTINGS.nodes + 1, SETTINGS.features)
    features = CsrMatrix.from_coordinates(tensors.feature_row, tensors.feature_column, value, shape)
    graph = Graph(features, tensors.edge_index, torch.cat((tensors.labels, torch.tensor([0]))))
    train, validation, test = torch.arange(shape[0]).split([41, 10, 10])
    return NodeClassification("planted-cora-node", "planted", "clean", graph, Split(train, validation, test), 3)


@pytest.fixture
def task() -> NodeClassification:
    return node_task()


def model_for(name: str, task: Task) -> GraphModel:
    """A model no tensor of which is as it was at the start: without its bias or its statistics it would be another."""
    torch.manual_seed(0)
    model = build_model_for(name, task).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5 if parameter.dim() == 1 else parameter.shape[-1] ** -0.5)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.uniform_(0.2, 1.0)
            module.running_var.uniform_(0.5, 3.0)
    return model


@pytest.fixture(scope="module", params=sorted(EAGER))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def of_kind(name: str) -> Task:
    """A small task for the model."""
    kind = MODELS[name].task_kinds[0]
    return {"node-classification": node_task, "link-prediction": link_task, "graph-classification": random_task}[kind]()


@pytest.fixture(scope="module")
def model(name: str, of_kind: Task) -> GraphModel:
    return model_for(name, of_kind)


def own_outputs(model: GraphModel, task: Task) -> Tensor:
    """What an inference has to give: the logits of all nodes, or those of the test part."""
    if isinstance(task, NodeClassification):
        with torch.no_grad():
            return model(model.prepare(task))
    return outputs_of(model, task, model.prepare(task), "test")


@pytest.mark.parametrize("implementation", ["eager", "reference", "runtime"])
def test_every_implementation_gives_the_models_outputs(
    name: str, model: GraphModel, of_kind: Task, implementation: str
) -> None:
    implementations = {"eager": EAGER[name], "reference": REFERENCE[name], "runtime": compile_inference}
    expected = own_outputs(model, of_kind)
    assert expected.std() > 0.1
    infer = implementations[implementation](model, of_kind)
    first = infer().clone()
    torch.testing.assert_close(first, expected, rtol=0, atol=1e-5)
    assert torch.equal(infer(), first)


def test_the_reference_is_the_runtime_of_a_dense_spline_net(task: NodeClassification) -> None:
    model = model_for("spline", task)
    frozen, ours = REFERENCE["spline"](model, task)(), compile_inference(model, task)()
    torch.testing.assert_close(ours, frozen, rtol=0, atol=1e-6)


def test_eager_spline_learns_what_the_model_learns(task: NodeClassification) -> None:
    settings = replace(SplineNetSettings.for_task(task), dropout=0.0)
    training = replace(MODELS["spline"].recipe.training, epochs=5, most_epochs=None)
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


def test_every_target_and_every_model_that_is_compressed_has_its_yardsticks() -> None:
    targets = {row.row.split(".")[1] for row in read_reported() if row.table == "3"}
    assert len(targets) == 5
    assert targets | {row.case.model for row in PRUNING} <= EAGER.keys() == REFERENCE.keys()
