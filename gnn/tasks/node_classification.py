"""The node-classification task: one graph, a class per node."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import ClassVar

from torch import Tensor
from torch.nn import functional

from gnn.layers import CsrMatrix
from gnn.tensor_bytes import tensor_bytes


@dataclass(frozen=True, eq=False)
class Graph:
    """One graph with sparse node features.

    Shapes: features [nodes, channels]; edge_index [2, edges] as (source, target); labels [nodes] int64.
    """

    features: CsrMatrix
    edge_index: Tensor
    labels: Tensor


@dataclass(frozen=True, eq=False)
class Split:
    """Indices of the training, validation and test part."""

    train: Tensor
    validation: Tensor
    test: Tensor


@dataclass(frozen=True, eq=False)
class NodeClassification:
    """A graph whose nodes are classified, with its split, loss and metric."""

    kind: ClassVar[str] = "node-classification"
    name: str
    source: str
    protocol: str
    graph: Graph
    split: Split
    classes: int

    def loss(self, logits: Tensor, part: str) -> Tensor:
        """Mean cross-entropy over one part; logits [nodes, classes]."""
        index = getattr(self.split, part)
        return functional.cross_entropy(logits[index], self.graph.labels[index])

    def accuracy(self, logits: Tensor, part: str) -> float:
        """Share of the nodes of one part whose highest logit is their class."""
        index = getattr(self.split, part)
        return float((logits[index].argmax(1) == self.graph.labels[index]).double().mean())

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

    def to(self, device: str) -> "NodeClassification":
        """The task with its tensors on another device."""
        graph, split = self.graph, self.split
        return replace(
            self,
            graph=Graph(graph.features.to(device), graph.edge_index.to(device), graph.labels.to(device)),
            split=Split(split.train.to(device), split.validation.to(device), split.test.to(device)),
        )

    @property
    def statistics(self) -> dict[str, int]:
        """Graphs, nodes, undirected edges, features and classes, as in Table 1 of the paper."""
        graph = self.graph
        nodes, features = graph.features.shape
        edges = graph.edge_index.shape[1] // 2
        return {"graphs": 1, "nodes": nodes, "edges": edges, "features": features, "labels": self.classes}


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """Sha256 over names, types, shapes and bytes, independent of the order of the mapping."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode() + tensor_bytes(tensor).tobytes())
    return digest.hexdigest()
