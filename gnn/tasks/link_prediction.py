"""The link-prediction task: one graph, and pairs of its nodes that are linked or not."""

import copy
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Self

import torch
from torch import Tensor

from gnn.errors import DatasetError
from gnn.layers import CsrMatrix
from gnn.tasks.edge_order import by_link
from gnn.tasks.fingerprint import fingerprint, fingerprint_of_data
from gnn.tasks.objectives import Binary, Objective
from gnn.tasks.task import PARTS, Task

if TYPE_CHECKING:
    from torch_geometric.data import Data


@dataclass(frozen=True, eq=False)
class Links:
    """Pairs that are linked and pairs that are not, each once; shapes: positive and negative [2, pairs]."""

    positive: Tensor
    negative: Tensor

    @cached_property
    def pairs(self) -> Tensor:
        """Positive pairs, then negative ones, [2, pairs]."""
        return torch.cat([self.positive, self.negative], dim=1)

    @cached_property
    def labels(self) -> Tensor:
        """1 for linked, 0 for not linked, [pairs] float32."""
        return torch.cat([torch.ones(self.positive.shape[1]), torch.zeros(self.negative.shape[1])]).to(
            self.positive.device
        )

    def to(self, device: str) -> "Links":
        """The pairs on another device."""
        return Links(self.positive.to(device), self.negative.to(device))


@dataclass(frozen=True, eq=False)
class LinkPrediction(Task):
    """A graph some of whose edges are hidden and have to be told from pairs without an edge.

    Messages may pass over `edge_index` [2, edges] (both directions) only; edges come in any order and are held in that
    of the training links. `graph_edges` is the number of undirected edges before any was hidden. Outputs of models are
    logits [pairs]. `data`, where there is one, is the PyG graph that the task was made from, with the edges that
    messages may pass over and no others. Raises `DatasetError` for an edge of a node that does not exist.
    """

    kind: ClassVar[str] = "link-prediction"
    features: CsrMatrix
    edge_index: Tensor
    train: Links
    validation: Links
    test: Links
    graph_edges: int
    classes: int
    objective: Objective = field(default=Binary("roc_auc"), kw_only=True)
    data: "Data | None" = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "edge_index", by_link(self.edge_index, self.train.positive, self.nodes))

    @property
    def nodes(self) -> int:
        """Nodes of the graph."""
        return self.features.shape[0]

    @property
    def feature_count(self) -> int:
        """Channels of the node features."""
        return self.features.shape[1]

    @property
    def output_count(self) -> int:
        """One logit per pair."""
        return 1

    def links(self, part: str) -> Links:
        """The pairs of one part."""
        return getattr(self, part)

    def draw_negatives(self, count: int) -> Tensor:
        """Random pairs of different nodes that are no training edge, [2, count], drawn anew on every call."""
        chosen = self.train.positive.new_zeros(2, 0)
        while chosen.shape[1] < count:
            pairs = torch.randint(self.nodes, (2, 2 * count)).to(self.edge_index.device)
            low, high = torch.minimum(pairs[0], pairs[1]), torch.maximum(pairs[0], pairs[1])
            free = (low != high) & ~torch.isin(low * self.nodes + high, self._train_keys)
            chosen = torch.cat([chosen, pairs[:, free]], dim=1)
        return chosen[:, :count]

    @cached_property
    def _train_keys(self) -> Tensor:
        positive = self.train.positive
        if 4 * positive.shape[1] > self.nodes * (self.nodes - 1):
            raise DatasetError(
                f"{self.name} has {positive.shape[1]} training edges on {self.nodes} nodes, more than half of all "
                "pairs; negatives cannot be drawn from so dense a graph"
            )
        return positive.amin(0) * self.nodes + positive.amax(0)

    def in_degree(self, part: str | None = None) -> Tensor:  # noqa: ARG002
        """Incoming edges of every node, of those that messages may pass over."""
        return torch.bincount(self.edge_index[1], minlength=self.nodes)

    def targets(self, part: str) -> Tensor:
        """1 for the linked pairs of one part, 0 for the others."""
        return self.links(part).labels

    def pyg(self, part: str | None = None) -> "Data":  # noqa: ARG002
        """The graph with the edges that messages may pass over, whatever the part."""
        return self._pyg

    @cached_property
    def _pyg(self) -> "Data":
        # PyG takes seconds to import, and our own models do without.
        from torch_geometric.data import Data  # noqa: PLC0415

        return Data(x=self.features.to_dense(), edge_index=self.edge_index) if self.data is None else self.data

    def other_scores(self, test: Tensor, validation: Tensor) -> dict[str, float]:
        """Average precision, and the accuracy at the threshold that is best on the validation pairs."""
        from sklearn.metrics import average_precision_score  # noqa: PLC0415

        threshold = best_threshold(validation, self.validation.labels)
        correct = (test >= threshold).float() == self.test.labels
        half = (test >= 0).float() == self.test.labels
        return {
            "average_precision": float(average_precision_score(self.test.labels.cpu(), test.cpu())),
            "accuracy_at_validation_threshold": float(correct.double().mean()),
            "accuracy_at_one_half": float(half.double().mean()),
        }

    @cached_property
    def sha256(self) -> str:
        """Fingerprint of every tensor of the task, split included."""
        parts = {
            f"{part}.{field.name}": getattr(self.links(part), field.name) for part in PARTS for field in fields(Links)
        }
        if self.data is not None:
            return fingerprint_of_data(self.data, self.objective, parts)
        features = self.features
        return fingerprint(
            {
                "row_pointer": features.row_pointer,
                "column": features.column,
                "value": features.value,
                "edge_index": self.edge_index,
                **parts,
            }
        )

    def to(self, device: str) -> Self:
        """The task with its tensors on another device."""
        return replace(
            self,
            features=self.features.to(device),
            edge_index=self.edge_index.to(device),
            train=self.train.to(device),
            validation=self.validation.to(device),
            test=self.test.to(device),
            data=None if self.data is None else copy.copy(self.data).to(device),
        )

    @property
    def inference_batch(self) -> str:
        """One inference embeds every node and decodes the test pairs."""
        return f"{len(self.test.labels)} test pairs, full graph of {self.nodes} nodes"

    @property
    def statistics(self) -> dict[str, int | str]:
        """Graphs, nodes, undirected edges, features and classes of the whole graph, as in Table 1 of the paper."""
        return {
            "graphs": 1,
            "nodes": self.nodes,
            "edges": self.graph_edges,
            "features": self.feature_count,
            "labels": self.classes,
        }


def best_threshold(logits: Tensor, labels: Tensor) -> float:
    """The logit from which on calling a pair linked is right most often; logits and labels [pairs].

    Candidates are the logits themselves; of equally good ones the highest is taken.
    """
    order = torch.argsort(logits, descending=True, stable=True)
    sorted_logits = logits[order]
    right = (2 * labels[order] - 1).cumsum(0)
    last_of_ties = torch.ones_like(right, dtype=torch.bool)
    last_of_ties[:-1] = sorted_logits[1:] != sorted_logits[:-1]
    right[~last_of_ties] = -torch.inf
    return float(sorted_logits[right.argmax()])
