"""The graph-classification task: many graphs, a class per graph."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import ClassVar, Self

import torch
from torch import Tensor
from torch.nn import functional

from gnn.errors import DatasetError
from gnn.tasks.fingerprint import fingerprint
from gnn.tasks.graph_collection import GraphBatch, GraphCollection
from gnn.tasks.node_classification import Split
from gnn.tasks.task import Task


@dataclass(frozen=True, eq=False)
class GraphClassification(Task):
    """Graphs that are classified, with their split, loss and metric."""

    kind: ClassVar[str] = "graph-classification"
    score_name: ClassVar[str] = "accuracy"
    collection: GraphCollection
    split: Split
    classes: int

    @property
    def feature_count(self) -> int:
        """Channels of the node features."""
        return self.collection.features.shape[1]

    @property
    def output_count(self) -> int:
        """One logit per class."""
        return self.classes

    def batch(self, part: str) -> GraphBatch:
        """All graphs of one part, in the order of the split."""
        return self.collection.select(getattr(self.split, part))

    def shuffled_batches(self, batch_size: int, fewest_nodes: int = 0) -> Iterator[GraphBatch]:
        """The training graphs in random order, `batch_size` at a time; the last batch may be smaller.

        A batch with fewer than `fewest_nodes` joins the one before it, or the first one the next. Raises `DatasetError`
        when all training graphs together have fewer.
        """
        train, sizes = self.split.train, self.collection.node_pointer.diff()
        if (nodes := int(sizes[train].sum())) < fewest_nodes:
            raise DatasetError(
                f"the training graphs of {self.name} have fewer than {fewest_nodes} nodes in all ({nodes}), too few "
                "for batch normalisation; add graphs, or choose a model without it"
            )
        batches: list[Tensor] = []
        for graphs in train[torch.randperm(len(train)).to(train.device)].split(batch_size):
            if batches and min(int(sizes[batch].sum()) for batch in (batches[-1], graphs)) < fewest_nodes:
                batches[-1] = torch.cat([batches[-1], graphs])
            else:
                batches.append(graphs)
        yield from map(self.collection.select, batches)

    def in_degree(self, part: str | None = None) -> Tensor | None:
        """Incoming edges of every node of one part's graphs."""
        return None if part is None else self.batch(part).adjacency.row_pointer.diff()

    def loss(self, outputs: Tensor, part: str) -> Tensor:
        """Mean cross-entropy of one part; outputs [graphs of the part, classes]."""
        return functional.cross_entropy(outputs, self.labels(part))

    def score(self, outputs: Tensor, part: str) -> float:
        """Share of the graphs of one part whose highest logit is their class."""
        return float((outputs.argmax(1) == self.labels(part)).double().mean())

    def other_scores(self, test: Tensor, validation: Tensor) -> dict[str, float]:  # noqa: ARG002
        """The share of the most frequent class in the test part: a model at or below it has learned nothing."""
        counts = torch.bincount(self.labels("test"))
        return {"majority_class": float(counts.max() / counts.sum())}

    def labels(self, part: str) -> Tensor:
        """The classes of one part's graphs."""
        return self.collection.labels[getattr(self.split, part)]

    @cached_property
    def sha256(self) -> str:
        """Fingerprint of every tensor of the task, split included."""
        return fingerprint(
            {
                field.name: getattr(holder, field.name)
                for holder in (self.collection, self.split)
                for field in fields(holder)
            }
        )

    def to(self, device: str) -> Self:
        """The task with its tensors on another device."""
        return replace(self, collection=self.collection.to(device), split=self.split.to(device))

    @property
    def inference_batch(self) -> str:
        """One inference classifies the test graphs together."""
        return f"{len(self.split.test)} test graphs in one batch"

    @property
    def statistics(self) -> dict[str, int | str]:
        """Graphs, nodes, undirected edges, features and classes, as in Table 1 of the paper, and sizes of one graph."""
        collection = self.collection
        nodes, directed_edges = collection.node_pointer.diff(), collection.edge_pointer.diff()
        return {
            "graphs": len(collection.labels),
            "nodes": len(collection.features),
            "edges": collection.edge_index.shape[1] // 2,
            "features": self.feature_count,
            "labels": self.classes,
            "nodes_per_graph": f"{int(nodes.min())}-{int(nodes.max())}",
            "edges_per_graph": f"{int(directed_edges.min()) // 2}-{int(directed_edges.max()) // 2}",
        }
