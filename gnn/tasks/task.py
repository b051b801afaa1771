"""What every task offers to models, training and measurement."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

from torch import Tensor

PARTS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Task(ABC):
    """A dataset with one split, a loss and a score; `kind` says which models fit.

    `name` has the planted prefix on planted data, `source` is "root", "download" or "planted", and `protocol` the one
    that decided about split and messages: "paper" only where it differs from "clean". Outputs of a model are always
    those of one part ("train", "validation" or "test"), in the order of that part.
    """

    kind: ClassVar[str]
    score_name: ClassVar[str]
    name: str
    source: str
    protocol: str

    @property
    @abstractmethod
    def feature_count(self) -> int:
        """Channels of the node features."""

    @property
    @abstractmethod
    def output_count(self) -> int:
        """Numbers that a model has to give for each example: classes, or 1 for a link."""

    @property
    @abstractmethod
    def statistics(self) -> dict[str, int | str]:
        """Graphs, nodes, undirected edges, features and labels, as in Table 1 of the paper."""

    @property
    @abstractmethod
    def inference_batch(self) -> str:
        """What one inference works on, such as "full graph, 2708 nodes"."""

    @cached_property
    @abstractmethod
    def sha256(self) -> str:
        """Fingerprint of every tensor of the task, split included."""

    def in_degree(self, part: str | None = None) -> Tensor | None:  # noqa: ARG002
        """In-degrees of the nodes that a pass over a part reads, [nodes]; None where they are not known.

        Without a part they are those that are the same in every pass, which batches of graphs do not have.
        """
        return None

    @abstractmethod
    def loss(self, outputs: Tensor, part: str) -> Tensor:
        """Mean loss of one part's outputs."""

    @abstractmethod
    def score(self, outputs: Tensor, part: str) -> float:
        """What is called accuracy in records: `score_name` of one part's outputs."""

    @abstractmethod
    def other_scores(self, test: Tensor, validation: Tensor) -> dict[str, float]:
        """Further scores of the test outputs; what must be chosen for them is chosen on the validation outputs."""

    @abstractmethod
    def to(self, device: str) -> Self:
        """The task with its tensors on another device."""
