"""The graph-classification task: many graphs, a class per graph."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Self, cast

import torch
from torch import Tensor

from gnn.errors import DatasetError
from gnn.tasks.fingerprint import fingerprint, fingerprint_of_data
from gnn.tasks.graph_collection import GraphBatch, GraphCollection
from gnn.tasks.node_classification import Split
from gnn.tasks.objectives import MultiClass, Objective
from gnn.tasks.task import Task

if TYPE_CHECKING:
    from torch_geometric.data import Data


@dataclass(frozen=True, eq=False)
class GraphClassification(Task):
    """Graphs that are classified, or whose targets another objective takes, with their split.

    `classes` is how many numbers the objective takes for each graph; `data`, where there is any, are the PyG graphs
    that the task was made from, with the targets as `y`.
    """

    kind: ClassVar[str] = "graph-classification"
    collection: GraphCollection
    split: Split
    classes: int
    objective: Objective = field(default=MultiClass(), kw_only=True)
    data: "Sequence[Data] | None" = field(default=None, kw_only=True)

    @property
    def feature_count(self) -> int:
        """Channels of the node features."""
        return self.collection.features.shape[1]

    @property
    def output_count(self) -> int:
        """One logit per class, or what another objective takes."""
        return self.classes

    def batch(self, part: str) -> GraphBatch:
        """All graphs of one part, in the order of the split."""
        return self.collection.select(getattr(self.split, part))

    def shuffled_batches(self, batch_size: int, fewest_nodes: int = 0) -> Iterator[GraphBatch]:
        """The training graphs in random order, `batch_size` at a time; the last batch may be smaller.

        A batch with fewer than `fewest_nodes` joins the one before it, or the first one the next. Raises `DatasetError`
        when all training graphs together have fewer.
        """
        yield from map(self.collection.select_prepared, self._deal(batch_size, fewest_nodes))

    def pyg_batches(self, batch_size: int, fewest_nodes: int = 0) -> "Iterator[Data]":
        """The batches of `shuffled_batches` in PyG's form, with the targets as `y`."""
        yield from map(self._pyg_batch, self._deal(batch_size, fewest_nodes))

    def _deal(self, batch_size: int, fewest_nodes: int) -> list[Tensor]:
        """The numbers of the training graphs of every batch."""
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
        return batches

    def pyg(self, part: str | None = None) -> "Data":
        """All graphs of one part as one batch, in the order of the split; without a part all graphs there are."""
        if part not in self._pyg:
            self._pyg[part] = self._pyg_batch(self._all_graphs if part is None else getattr(self.split, part))
        return self._pyg[part]

    @property
    def _all_graphs(self) -> Tensor:
        return torch.arange(len(self.collection.labels))

    @cached_property
    def _pyg(self) -> "dict[str | None, Data]":
        return {}

    def _pyg_batch(self, graphs: Tensor) -> "Data":
        # PyG takes seconds to import, and our own models do without.
        from torch_geometric.data import Batch  # noqa: PLC0415

        return cast("Data", Batch.from_data_list([self._graphs[graph] for graph in graphs.tolist()]))

    @cached_property
    def _graphs(self) -> "Sequence[Data]":
        from torch_geometric.data import Data  # noqa: PLC0415

        if self.data is not None:
            return self.data
        collection = self.collection
        nodes, edges = (pointer.diff().tolist() for pointer in (collection.node_pointer, collection.edge_pointer))
        features, edge_index = collection.features.split(nodes), collection.edge_index.split(edges, dim=1)
        rest = (collection.node_pointer[:-1], collection.labels.split(1))
        return [
            Data(x=x, edge_index=of_graph - first, y=label)
            for x, of_graph, first, label in zip(features, edge_index, *rest, strict=True)
        ]

    def in_degree(self, part: str | None = None) -> Tensor | None:
        """Incoming edges of every node of one part's graphs."""
        return None if part is None else self.batch(part).adjacency.row_pointer.diff()

    def other_scores(self, test: Tensor, validation: Tensor) -> dict[str, float]:
        """Those of the objective and, of classes, the share of the most frequent one in the test part.

        A model at or below that has learned nothing.
        """
        others = super().other_scores(test, validation)
        if isinstance(self.objective, MultiClass):
            counts = torch.bincount(self.targets("test"))
            others["majority_class"] = float(counts.max() / counts.sum())
        return others

    def targets(self, part: str) -> Tensor:
        """The labels of one part's graphs."""
        return self.collection.labels[getattr(self.split, part)]

    @cached_property
    def sha256(self) -> str:
        """Fingerprint of every tensor of the task, split included."""
        if self.data is not None:
            return fingerprint_of_data(
                cast("Data", self._pyg_batch(self._all_graphs)), self.objective, vars(self.split)
            )
        return fingerprint({**self.collection.tensors, **vars(self.split)})

    def to(self, device: str) -> Self:
        """The task with its tensors on another device."""
        data = None if self.data is None else [copy.copy(graph).to(device) for graph in self.data]
        return replace(self, collection=self.collection.to(device), split=self.split.to(device), data=data)

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
