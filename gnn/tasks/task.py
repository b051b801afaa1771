"""What every task offers to models, training and measurement."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Self

from torch import Tensor

from gnn.tasks.objectives import Objective

if TYPE_CHECKING:
    from torch_geometric.data import Data

PARTS = ("train", "validation", "test")


@dataclass(frozen=True, eq=False)
class Task(ABC):
    """A dataset with one split and an objective; `kind` says which models fit.

    `name` has the planted prefix on planted data, `source` is "root", "download", "planted" or "given", and `protocol`
    the one that decided about split and messages: "paper" only where it differs from "clean". Outputs of a model are
    always those of one part ("train", "validation" or "test"), in the order of that part.
    """

    kind: ClassVar[str]
    name: str
    source: str
    protocol: str
    objective: Objective = field(kw_only=True)

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
    def targets(self, part: str) -> Tensor:
        """What the outputs of one part are compared with, in its order and in the shape that the objective says."""

    @abstractmethod
    def pyg(self, part: str | None = None) -> "Data":
        """What a model that knows nothing of tasks is called with: all that is known of the graphs of one part.

        Features are dense, and edges are in the order in which they were given. Every call returns the same object for
        the same part; without a part it is one of the whole dataset.
        """

    @property
    def score_name(self) -> str:
        """Which metric the score is."""
        return self.objective.score_name

    def loss(self, outputs: Tensor, part: str) -> Tensor:
        """Mean loss of one part's outputs."""
        return self.objective.loss(outputs, self.targets(part))

    def score(self, outputs: Tensor, part: str) -> float:
        """What is called accuracy in records: `score_name` of one part's outputs; higher is better."""
        return self.objective.score(outputs, self.targets(part))

    def other_scores(self, test: Tensor, validation: Tensor) -> dict[str, float]:  # noqa: ARG002
        """Further scores of the test outputs; what must be chosen for them is chosen on the validation outputs."""
        return self.objective.other_scores(test, self.targets("test"))

    @abstractmethod
    def to(self, device: str) -> Self:
        """The task with its tensors on another device."""
