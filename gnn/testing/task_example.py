"""Examples for the models that tasks feed: a batch of graphs, or a task with the inputs that a model prepares of it."""

from dataclasses import replace
from typing import Any
from unittest import SkipTest

import torch
from torch import Tensor, nn

from gnn.layers import CsrMatrix
from gnn.models import on_task
from gnn.tasks import Graph, GraphBatch, GraphClassification, LinkPrediction, Links, NodeClassification, Split, Task
from gnn.testing.example import Arguments, Example

PARTS = ("train", "validation", "test")


def example_of_batch(batch: GraphBatch) -> Example:
    """An example whose only argument is a `GraphBatch`."""
    values = {"features": batch.features, "edge_index": batch.edge_index, "graph_of_node": batch.graph_of_node}
    return Example(
        values,
        {"features": "nodes", "edge_index": "edges", "graph_of_node": "graph of node"},
        arguments=lambda _, example: (_batch(example),),
        ask=lambda model, example: model(_batch(example)),
    )


def _batch(example: Example) -> GraphBatch:
    features, edge_index, graph_of_node = example.values.values()
    pointer = torch.cat([graph_of_node.new_zeros(1), torch.bincount(graph_of_node).cumsum(0)])
    return GraphBatch(features, edge_index, pointer, graph_of_node.new_zeros(example.graphs))


def example_of_task(task: Task) -> Example:
    """An example of what a task asks: its test graphs in one batch, all nodes, or the test pairs."""
    if isinstance(task, GraphClassification):
        return example_of_batch(task.batch("test"))

    def ask(model: Any, example: Example) -> object:  # noqa: ANN401
        other = _task(task, example)
        asked = on_task(model, other)
        return asked.outputs(other, asked.prepare(other), "test")

    def arguments(model: nn.Module, example: Example) -> Arguments:
        """What the model's forward is given while it is asked."""
        given: list[Arguments] = []
        hook = model.register_forward_pre_hook(lambda _, arguments: given.append(arguments))
        with torch.no_grad():
            ask(model, example)
        hook.remove()
        if not given:
            raise SkipTest("outputs for a task are not those of a forward pass")
        return given[0]

    if isinstance(task, LinkPrediction):
        pairs = {
            f"{part}.{kind}": getattr(task.links(part), kind) for part in PARTS for kind in ("positive", "negative")
        }
        features, edge_index = task.features, task.edge_index
    else:
        assert isinstance(task, NodeClassification)  # noqa: S101  (there is no fourth kind)
        pairs, features, edge_index = {}, task.graph.features, task.graph.edge_index
    values = {"features": features.to_dense(), "edge_index": edge_index, **pairs}
    roles = {"features": "nodes", "edge_index": "edges", **dict.fromkeys(pairs, "pairs")}
    return Example(values, roles, arguments, ask)


def _task(task: Any, example: Example) -> Task:  # noqa: ANN401
    """The task of an example's graph, whose test part is all of the nodes or the test pairs."""
    features, edge_index = _sparse(example.values["features"]), example.edge_index
    if isinstance(task, LinkPrediction):
        links = {part: Links(example.values[f"{part}.positive"], example.values[f"{part}.negative"]) for part in PARTS}
        return replace(task, features=features, edge_index=edge_index, **links)
    nodes = torch.arange(example.nodes, device=edge_index.device)
    graph = Graph(features, edge_index, torch.zeros_like(nodes))
    return replace(task, graph=graph, split=Split(nodes, nodes, nodes))


def _sparse(features: Tensor) -> CsrMatrix:
    row, column = features.nonzero(as_tuple=True)
    return CsrMatrix.from_coordinates(row, column, features[row, column], tuple(features.shape))  # pyright: ignore
