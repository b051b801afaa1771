"""The node-classification task: one graph, a class per node."""

import copy
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Self

import torch
from torch import Tensor

from gnn.layers import CsrMatrix
from gnn.tasks.edge_order import require_nodes
from gnn.tasks.fingerprint import fingerprint, fingerprint_of_data
from gnn.tasks.objectives import MultiClass, Objective
from gnn.tasks.task import Task

if TYPE_CHECKING:
    from torch_geometric.data import Data


@dataclass(frozen=True, eq=False)
class Graph:
    """One graph with sparse node features; the order of its edges says nothing.

    Raises `DatasetError` for an edge of a node that does not exist.
    Shapes: features [nodes, channels]; edge_index [2, edges] as (source, target); labels [nodes] int64, or what another
    objective than multi-class takes as targets.
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
    """A graph whose nodes are classified, or whose targets another objective takes, with its split.

    `classes` is how many numbers the objective takes for each node; `data`, where there is one, is the PyG graph that
    the task was made from.
    """

    kind: ClassVar[str] = "node-classification"
    graph: Graph
    split: Split
    classes: int
    objective: Objective = field(default=MultiClass(), kw_only=True)
    data: "Data | None" = field(default=None, kw_only=True)

    @property
    def feature_count(self) -> int:
        """Channels of the node features."""
        return self.graph.features.shape[1]

    @property
    def output_count(self) -> int:
        """One logit per class, or what another objective takes."""
        return self.classes

    def in_degree(self, part: str | None = None) -> Tensor:  # noqa: ARG002
        """Incoming edges of every node of the one graph."""
        return torch.bincount(self.graph.edge_index[1], minlength=self.graph.features.shape[0])

    def targets(self, part: str) -> Tensor:
        """The labels of one part's nodes."""
        return self.graph.labels[getattr(self.split, part)]

    def pyg(self, part: str | None = None) -> "Data":  # noqa: ARG002
        """The whole graph, whatever the part."""
        return self._pyg

    @cached_property
    def _pyg(self) -> "Data":
        # PyG takes seconds to import, and our own models do without.
        from torch_geometric.data import Data  # noqa: PLC0415

        if self.data is not None:
            return self.data
        graph = self.graph
        return Data(x=graph.features.to_dense(), edge_index=graph.edge_index, y=graph.labels)

    @cached_property
    def sha256(self) -> str:
        """Fingerprint of every tensor of the task, split included."""
        if self.data is not None:
            return fingerprint_of_data(self.data, self.objective, vars(self.split))
        features = self.graph.features
        return fingerprint(
            {
                "row_pointer": features.row_pointer,
                "column": features.column,
                "value": features.value,
                "edge_index": self.graph.edge_index,
                "labels": self.graph.labels,
                **vars(self.split),
            }
        )

    def to(self, device: str) -> Self:
        """The task with its tensors on another device."""
        data = None if self.data is None else copy.copy(self.data).to(device)
        return replace(self, graph=self.graph.to(device), split=self.split.to(device), data=data)

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
