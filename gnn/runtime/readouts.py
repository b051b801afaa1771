"""One row per graph from the rows of its nodes, by a matrix that is made once for an assignment of nodes to graphs."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gnn.errors import SettingError
from gnn.layers import CsrMatrix
from gnn.native import Activation, aggregate, maximum, transform
from gnn.runtime.graph_cache import STRUCTURE
from gnn.runtime.kernels import Kernel

# Functions of features, the graph of each node and the number of graphs, by name.
READOUTS = {"max_readout": "max", "global_max_pool": "max", "global_add_pool": "sum", "global_mean_pool": "mean"}


class Readout(Kernel):
    """One row per graph from the rows of its nodes, by a matrix that is made once for an assignment of nodes.

    What it does not know, such as no assignment at all, runs as the function that it stands for.
    """

    name = "readout by a matrix"

    def __init__(self, own: Callable[..., Tensor]) -> None:
        super().__init__()
        self._own, self.kind = own, READOUTS[own.__name__]

    def forward(self, features: Tensor, graph_of_node: Any, size: Any = None) -> Tensor:  # noqa: ANN401
        """Rows of nodes [nodes, channels] -> [graphs, channels]."""
        matrix = self.matrix(features, graph_of_node, size)
        if matrix is None:
            return self._own(features, graph_of_node, size)
        return self.over(features, matrix)

    def over(self, features: Tensor, matrix: CsrMatrix) -> Tensor:
        """The readout by a matrix (graphs, rows of features)."""
        return maximum(matrix, features) if self.kind == "max" else aggregate(matrix, features)

    def matrix(self, features: Tensor, graph_of_node: Any, size: Any) -> CsrMatrix | None:  # noqa: ANN401
        """The matrix (graphs, nodes) of an assignment, None where it is none for these features."""
        if type(graph_of_node) is not Tensor or features.dim() != 2 or graph_of_node.shape != features.shape[:1]:
            return None
        return STRUCTURE.get(
            ("readout", self.kind, size), lambda: _assignment(graph_of_node, size, self.kind), graph_of_node
        )

    @staticmethod
    def without_empty(out: Tensor, matrix: CsrMatrix) -> Tensor:
        """A readout [graphs, channels] with 0 for graphs without nodes."""
        empty = STRUCTURE.get("empty", lambda: (matrix.row_pointer.diff() == 0).nonzero()[:, 0], matrix)
        return out.index_fill_(0, empty, 0) if len(empty) else out


def _assignment(graph_of_node: Tensor, size: int | None, kind: str) -> CsrMatrix | None:
    last = int(graph_of_node.max()) if len(graph_of_node) else -1
    graphs = last + 1 if size is None else size
    if last >= graphs or (len(graph_of_node) and int(graph_of_node.min()) < 0):
        return None
    nodes = torch.arange(len(graph_of_node), device=graph_of_node.device)
    value = torch.ones(len(nodes), device=nodes.device)
    if kind == "mean":
        value /= torch.bincount(graph_of_node, minlength=graphs)[graph_of_node]
    return CsrMatrix.from_coordinates(graph_of_node, nodes, value, (graphs, len(nodes)))


class MaximumFirst(Readout):
    """The maximum over each graph's nodes before bias and activation, which are increasing; 0 for an empty graph."""

    name = "maximum over nodes before bias and activation"

    def __init__(self, own: Callable[..., Tensor], bias: Tensor, activation: Activation) -> None:
        super().__init__(own)
        self.bias, self._last = bias, activation

    def forward(self, features: Tensor, graph_of_node: Tensor, size: Any = None) -> Tensor:  # noqa: ANN401
        """Rows of nodes without bias [nodes, channels] -> [graphs, channels]."""
        matrix = self.matrix(features, graph_of_node, size)
        if matrix is None:
            raise SettingError(
                "the nodes are not assigned to graphs one by one; give each node the number of its graph"
            )
        return self.over(features, matrix)

    def over(self, features: Tensor, matrix: CsrMatrix) -> Tensor:
        """The maximum by a matrix (graphs, rows of features)."""
        out = transform(maximum(matrix, features).add_(self.bias), self._last)
        return self.without_empty(out, matrix)
