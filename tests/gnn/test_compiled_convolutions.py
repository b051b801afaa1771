"""PyG's convolutions with every option, on a kernel or as they are."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch_geometric import nn as pyg

from gnn.runtime import compile, explain  # noqa: A004
from tests.gnn.compiled_checks import ODD_GRAPHS, assert_same
from tests.gnn.foreign_models import FEATURES

CONVOLUTIONS: dict[str, tuple[Callable[[], nn.Module], str, bool]] = {
    "gcn": (lambda: pyg.GCNConv(FEATURES, 5), "w", True),
    "improved": (lambda: pyg.GCNConv(FEATURES, 9, improved=True, bias=False), "w", True),
    "no loops": (lambda: pyg.GCNConv(FEATURES, 5, add_self_loops=False), "w", True),
    "not normalised": (lambda: pyg.GCNConv(FEATURES, 5, normalize=False, aggr="mean"), "w", True),
    "max": (lambda: pyg.GCNConv(FEATURES, 5, aggr="max"), "w", False),
    "other flow": (lambda: pyg.GCNConv(FEATURES, 5, flow="target_to_source"), "w", False),
    "decomposed": (lambda: pyg.SAGEConv(FEATURES, 5, decomposed_layers=FEATURES), "", False),
    "sage": (lambda: pyg.SAGEConv(FEATURES, 9), "b", True),
    "sage sum": (lambda: pyg.SAGEConv(FEATURES, 5, aggr="add", project=True), "b", True),
    "sage max": (lambda: pyg.SAGEConv(FEATURES, 5, aggr="max", normalize=True), "b", True),
    "sage alone": (lambda: pyg.SAGEConv(FEATURES, 5, root_weight=False, bias=False), "b", True),
    "sage several": (lambda: pyg.SAGEConv(FEATURES, 5, aggr=["mean", "max"]), "b", False),
    "graph": (lambda: pyg.GraphConv(FEATURES, 5), "wb", True),
    "graph mean": (lambda: pyg.GraphConv(FEATURES, 9, aggr="mean", bias=False), "wb", True),
    "graph max": (lambda: pyg.GraphConv(FEATURES, 5, aggr="max"), "wb", True),
    "gin": (lambda: pyg.GINConv(nn.Linear(FEATURES, 5), eps=0.3), "", True),
    "gin without itself": (lambda: pyg.GINConv(nn.Linear(FEATURES, 5), eps=-1.0, train_eps=True), "", True),
    "gin mean": (lambda: pyg.GINConv(nn.Linear(FEATURES, 5), aggr="mean"), "", False),
    "tag": (lambda: pyg.TAGConv(FEATURES, 5), "w", True),
    "tag raw": (lambda: pyg.TAGConv(FEATURES, 5, K=1, normalize=False), "w", True),
    "sg": (lambda: pyg.SGConv(FEATURES, 5, K=3), "w", True),
    "sg cached": (lambda: pyg.SGConv(FEATURES, 5, K=2, cached=True), "w", False),
    "gat": (lambda: pyg.GATConv(FEATURES, 5, heads=2), "", False),
}


@pytest.mark.filterwarnings("ignore:Sparse (invariant|CSR)")
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_convolution_of_pyg_has_a_kernel_or_runs_as_it_is(name: str) -> None:
    build, takes, lowered = CONVOLUTIONS[name]
    torch.manual_seed(0)
    layer = build().eval()
    compiled = compile(layer)
    assert ("bag" in explain(compiled).get("", "left")) == lowered
    for nodes, edge_index in ODD_GRAPHS.values():
        x = torch.randn(nodes, FEATURES)
        assert_same(compiled, layer, x, edge_index)
        if "w" in takes:
            assert_same(compiled, layer, x, edge_index, torch.rand(edge_index.shape[1]))
        if "b" in takes:
            assert_same(compiled, layer, (x, torch.randn(nodes, FEATURES)), edge_index)
        # As a sparse tensor, which no kernel knows.
        if name != "other flow" and "sage" not in name:
            sparse = torch.sparse_coo_tensor(edge_index.flip(0), torch.ones(edge_index.shape[1]), (nodes, nodes))
            assert_same(compiled, layer, x, sparse.coalesce().to_sparse_csr())
