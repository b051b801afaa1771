"""Steps between convolutions, with equal rows once: what is not understood gets all rows, and gives the same."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric import nn as pyg

from gnn.runtime import compile, explain  # noqa: A004
from tests.gnn.compiled_checks import assert_same, repeated

CHANNELS, WIDTH = 3, 5


class Mixing(nn.Module):
    """A step between two convolutions that mixes rows, so that from there on all rows are computed."""

    def __init__(self, mix: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.first, self.second, self.mix = pyg.GCNConv(CHANNELS, WIDTH), pyg.GCNConv(WIDTH, WIDTH), mix

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        """Rows of nodes."""
        return self.second(self.mix(self.first(x, edges)), edges)


MIXES: dict[str, Callable[[Tensor], Tensor]] = {
    "over nodes": lambda rows: rows - rows.mean(0),
    "softmax of nodes": lambda rows: functional.softmax(rows, dim=0),
    "sorted": lambda rows: rows.cumsum(0),
    "number of rows": lambda rows: rows / rows.shape[0],
}


@pytest.mark.parametrize("mix", MIXES)
def test_a_step_that_is_not_understood_gets_all_rows(mix: str) -> None:
    torch.manual_seed(0)
    net, (x, edges, _) = Mixing(MIXES[mix]).eval(), repeated(4, CHANNELS)
    compiled = compile(net, (x, edges), deduplicate=True)
    assert_same(compiled, net, x, edges)
    assert "; equal rows once" in explain(compiled)[""]


CHANGES: dict[str, Callable[[Tensor], Tensor]] = {
    "mul_": lambda rows: rows.mul_(2) + rows,
    "out": lambda rows: torch.add(rows.abs(), 1, out=rows) + rows,
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_in_place_that_others_may_read_is_left(change: str) -> None:
    net, (x, edges, _) = Mixing(CHANGES[change]).eval(), repeated(4, CHANNELS)
    compiled = compile(net, (x, edges), deduplicate=True)
    assert "changes in place what others may read" in explain(compiled)[""]
    assert_same(compiled, net, x, edges)


class OfEdges(nn.Module):
    """A sum that may be of one row and all others, a convolution, and one whose edges have features."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = pyg.GCNConv(CHANNELS, WIDTH), pyg.GATConv(WIDTH, WIDTH, edge_dim=2)

    def forward(self, x: Tensor, shift: Tensor, edges: Tensor, features: Tensor) -> Tensor:
        """Rows of nodes."""
        return self.second(self.first(x + shift, edges).relu(), edges, features)


def test_features_of_edges_differ_where_nodes_do_not() -> None:
    torch.manual_seed(0)
    net, (x, edges, _) = OfEdges().eval(), repeated(4, CHANNELS)
    compiled = compile(net, (x, x, edges, torch.randn(edges.shape[1], 2)), deduplicate=True)
    assert_same(compiled, net, x, x, edges, torch.randn(edges.shape[1], 2))
    assert explain(compiled)["first"].endswith("; 12 rows, 2 differ")


def test_one_row_for_all_nodes_is_not_taken_for_a_row_of_each() -> None:
    torch.manual_seed(0)
    net, (x, edges, _) = OfEdges().eval(), repeated(4, CHANNELS)
    one, features = torch.randn(1, CHANNELS), torch.randn(edges.shape[1], 2)
    compiled = compile(net, (one, one, edges[:, :0], features[:0]), deduplicate=True)
    assert_same(compiled, net, x, one, edges, features)
    assert explain(compiled)[""].endswith("; equal rows not once: not all matrices have a row for each node")
