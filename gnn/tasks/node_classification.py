"""The node-classification task: one graph, a class per node."""

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import ClassVar, Self

import torch
from torch import Tensor
from torch.nn import functional

from gnn.layers import CsrMatrix
from gnn.tasks.edge_order import require_nodes
from gnn.tasks.fingerprint import fingerprint
from gnn.tasks.task import Task


@dataclass(frozen=True, eq=False)
class Graph:
    """One graph with sparse node features; the order of its edges says nothing.

    Raises `DatasetError` for an edge of a node that does not exist.
    Shapes: features [nodes, channels]; edge_index [2, edges] as (source, target); labels [nodes] int64.
    """

    features: CsrMatrix
    edge_index: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        require_nodes(self.edge_index, self.features.shape[0])

    def to(self, device: str) -> "Graph":
        """The graph on another device."""
        return Graph(self.features.to(device), self.edge_index.to(device), self.labels.to(device))


@dataclass(frozen=True, eq=False)
class Split:
    """Indices of the training, validation and test part."""

    train: Tensor
    validation: Tensor
    test: Tensor

    def to(self, device: str) -> "Split":
        """The split on another device."""
        return Split(self.train.to(device), self.validation.to(device), self.test.to(device))


@dataclass(frozen=True, eq=False)
class NodeClassification(Task):
    """A graph whose nodes are classified, with its split, loss and metric."""

    kind: ClassVar[str] = "node-classification"
    score_name: ClassVar[str] = "accuracy"
    graph: Graph
    split: Split
    classes: int

    @property
    def feature_count(self) -> int:
        """Channels of the node features."""
        return self.graph.features.shape[1]

    @property
    def output_count(self) -> int:
        """One logit per class."""
        return self.classes

    def in_degree(self, part: str | None = None) -> Tensor:  # noqa: ARG002
        """Incoming edges of every node of the one graph."""
        return torch.bincount(self.graph.edge_index[1], minlength=self.graph.features.shape[0])

    def loss(self, outputs: Tensor, part: str) -> Tensor:
        """Mean cross-entropy of one part; outputs [nodes of the part, classes]."""
        return functional.cross_entropy(outputs, self._labels(part))

    def score(self, outputs: Tensor, part: str) -> float:
        """Share of the nodes of one part whose highest logit is their class."""
        return float((outputs.argmax(1) == self._labels(part)).double().mean())

    def other_scores(self, test: Tensor, validation: Tensor) -> dict[str, float]:  # noqa: ARG002
        """Accuracy is all that is reported."""
        return {}

    def _labels(self, part: str) -> Tensor:
        return self.graph.labels[getattr(self.split, part)]

    @cached_property
    def sha256(self) -> str:
        """Fingerprint of every tensor of the task, split included."""
        features, split = self.graph.features, self.split
        return fingerprint(
            {
                "row_pointer": features.row_pointer,
                "column": features.column,
                "value": features.value,
                "edge_index": self.graph.edge_index,
                "labels": self.graph.labels,
                **{field.name: getattr(split, field.name) for field in fields(split)},
            }
        )

    def to(self, device: str) -> Self:
        """The task with its tensors on another device."""
        return replace(self, graph=self.graph.to(device), split=self.split.to(device))

    @property
    def inference_batch(self) -> str:
        """One inference classifies every node."""
        return f"full graph, {self.graph.features.shape[0]} nodes"

    @property
    def statistics(self) -> dict[str, int | str]:
        """Graphs, nodes, undirected edges, features and classes, as in Table 1 of the paper."""
        graph = self.graph
        nodes, features = graph.features.shape
        edges = graph.edge_index.shape[1] // 2
        return {"graphs": 1, "nodes": nodes, "edges": edges, "features": features, "labels": self.classes}
