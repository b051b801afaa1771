"""Small citation tasks, and what every model for them must survive."""

from dataclasses import replace

import torch
from torch import Tensor

from gnn.determinism import deterministic
from gnn.layers import CsrMatrix
from gnn.models import GraphModel, build_model_for
from gnn.tasks import Graph, LinkPrediction, Links, NodeClassification, Task
from gnn.tasks.planted import PlantedCitationGraph, plant_citation_graph

PLANTED = PlantedCitationGraph(
    nodes=60, undirected_edges=120, class_sizes=(30, 30), edge_homophily=0.9, features=40, words_per_node=6.0
)
NO_EDGES = torch.zeros(2, 0, dtype=torch.int64)


def link_task(messages: Tensor | None = None) -> LinkPrediction:
    """60 nodes and 120 edges, the last 40 of them hidden; messages pass over `messages`, else over the first 80."""
    tensors = plant_citation_graph(PLANTED)
    features = CsrMatrix.from_coordinates(
        tensors.feature_row, tensors.feature_column, torch.ones(len(tensors.feature_row)), tensors.shape
    )
    edges = tensors.edge_index[:, tensors.edge_index[0] < tensors.edge_index[1]]
    generator = torch.Generator().manual_seed(0)
    edges = edges[:, torch.randperm(edges.shape[1], generator=generator)]
    apart = torch.stack([torch.arange(120) % 60, (torch.arange(120) * 7 + 31) % 60])
    parts = [Links(edges[:, a:b], apart[:, a:b]) for a, b in ((0, 80), (80, 100), (100, 120))]
    both = torch.cat([edges[:, :80], edges[:, :80].flip(0)], dim=1) if messages is None else messages
    return LinkPrediction("planted-links", "planted", "clean", features, both, *parts, graph_edges=120, classes=2)


def with_messages(task: Task, edge_index: Tensor) -> Task:
    """The task with other edges to pass messages over."""
    if isinstance(task, NodeClassification):
        return replace(task, graph=Graph(task.graph.features, edge_index, task.graph.labels))
    assert isinstance(task, LinkPrediction)
    return replace(task, edge_index=edge_index)


def messages_of(task: Task) -> Tensor:
    """The edges that messages pass over."""
    if isinstance(task, NodeClassification):
        return task.graph.edge_index
    assert isinstance(task, LinkPrediction)
    return task.edge_index


def new_model(name: str, task: Task, seed: int = 0) -> GraphModel:
    """A model whose biases matter."""
    with deterministic(seed):
        model = build_model_for(name, task)
        for parameter in model.parameters():
            if parameter.dim() == 1:
                torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


@torch.no_grad()
def of_all(model: GraphModel, task: Task) -> Tensor:
    """What the model's forward pass gives, a row per node."""
    return model.eval()(model.prepare(task))


def check_isolated_nodes(name: str, task: Task) -> None:
    """A node without edges depends on its own words only, and no output or gradient is lost to a division by zero."""
    model = new_model(name, task)
    messages = messages_of(task)
    alone = with_messages(task, messages[:, (messages >= 5).all(dim=0)])
    of_alone, without_edges = of_all(model, alone), of_all(model, with_messages(task, NO_EDGES))
    torch.testing.assert_close(of_alone[:5], without_edges[:5], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(of_alone[5:], without_edges[5:], atol=1e-3)
    for other in (alone, with_messages(task, NO_EDGES)):
        model.zero_grad()
        (loss,) = model.train().losses(other, model.prepare(other), None)
        loss.backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
