"""Degree-Quant's protection: nodes with many incoming edges are more often left in full precision while training."""

import torch
from torch import Tensor

from gnn.errors import SettingError


def protection_probability(in_degree: Tensor, node_pointer: Tensor, low: float, high: float) -> Tensor:
    """How likely each node is protected: p_v = low + (high - low) * #{u : in-degree of u <= that of v} / n.

    u runs over the n nodes of v's graph. Source: Degree-Quant, dq/transforms.py, ProbabilisticHighDegreeMask; there
    the mask is drawn for each graph as well. Shapes: in_degree [nodes] int64, node_pointer [graphs + 1] -> [nodes].
    """
    sizes = node_pointer.diff()
    graph = torch.repeat_interleave(torch.arange(len(sizes), device=sizes.device), sizes)
    degrees = int(in_degree.max()) + 1 if len(in_degree) else 1
    key = graph * degrees + in_degree
    at_most = torch.bincount(key, minlength=len(sizes) * degrees).view(-1, degrees).cumsum(1)
    return low + (high - low) * (at_most.flatten()[key] / sizes[graph])


class DegreeProtection:
    """The mask that all quantizers of one model share; it is drawn anew for every pass in training.

    The probabilities run from about `low` for the fewest to `high` for the most incoming edges; `in_degree` [nodes] are
    those of a graph that is the same in every pass. Raises `SettingError` unless 0 <= low <= high <= 1.
    """

    def __init__(self, low: float, high: float, in_degree: Tensor | None = None) -> None:
        if not 0 <= low <= high <= 1:
            raise SettingError(
                f"protection from {low} to {high} is no pair of probabilities; give 0 <= low <= high <= 1"
            )
        self.low, self.high, self.in_degree = low, high, in_degree
        self._mask: Tensor | None = None
        self._rows: dict[int, Tensor] = {}

    def draw(self, in_degree: Tensor, node_pointer: Tensor | None = None) -> None:
        """Draw which nodes [nodes] the next pass protects; without a pointer all nodes are of one graph."""
        if node_pointer is None:
            node_pointer = torch.tensor([0, len(in_degree)], device=in_degree.device)
        self.protect(torch.bernoulli(protection_probability(in_degree, node_pointer, self.low, self.high)).bool())

    def draw_again(self) -> None:
        """Draw for the graph that is always the same; without one, what was drawn last stays."""
        if self.in_degree is not None:
            self.draw(self.in_degree)

    def narrow(self, chosen: Tensor) -> None:
        """Go on with some of the nodes, in this order, such as those that a pooling keeps."""
        if self._mask is not None:
            self.protect(self._mask[chosen])

    def rows(self, count: int, node_of_row: Tensor | None = None) -> Tensor:
        """The numbers of the protected ones of `count` rows.

        A row belongs to the node that `node_of_row` [count] says, else each node has as many rows, next to each other.
        Raises `SettingError` when no mask was drawn for so many rows.
        """
        if self._mask is not None and node_of_row is not None:
            return self._mask[node_of_row].nonzero()[:, 0]
        if count not in self._rows:
            nodes = 0 if self._mask is None else len(self._mask)
            if self._mask is None or nodes == 0 or count % nodes:
                raise SettingError(
                    f"{count} rows are to be protected by degree, but the degrees of {nodes} nodes are known"
                )
            self._rows[count] = self._mask.repeat_interleave(count // nodes).nonzero()[:, 0]
        return self._rows[count]

    def protect(self, mask: Tensor) -> None:
        """Protect the nodes where a mask [nodes] is True."""
        self._mask, self._rows = mask, {}
