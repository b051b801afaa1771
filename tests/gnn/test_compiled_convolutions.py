"""PyG's convolutions with every option, on a kernel or as they are."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch_geometric import nn as pyg

from gnn.runtime import compile, explain  # noqa: A004
from gnn.runtime.kernels import KERNEL
from tests.gnn.compiled_checks import ODD_GRAPHS, assert_same
from tests.gnn.foreign_models import FEATURES

EDGE_FEATURES = 3
# What builds a layer; whether it takes (w)eights of edges, (b)ipartite features, f(e)atures of edges; whether it has a
# kernel.
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
    "gat": (lambda: pyg.GATConv(FEATURES, 5, heads=2), "be", True),
    "gat mean": (lambda: pyg.GATConv(FEATURES, 9, heads=3, concat=False, negative_slope=1.5, bias=False), "b", True),
    "gat without loops": (lambda: pyg.GATConv(FEATURES, 16, add_self_loops=False, residual=True), "b", True),
    "gat of two": (lambda: pyg.GATConv((FEATURES, FEATURES), 5, heads=2, residual=True), "b", True),
    "gat edges": (lambda: pyg.GATConv(FEATURES, 5, heads=2, edge_dim=EDGE_FEATURES), "be", True),
    "gat filled": (lambda: pyg.GATConv(FEATURES, 5, edge_dim=EDGE_FEATURES, fill_value=0.5), "be", True),
    "gat filled by a tensor": (lambda: pyg.GATConv(FEATURES, 5, fill_value=torch.ones(3)), "", False),
    "gat max": (lambda: pyg.GATConv(FEATURES, 5, aggr="max"), "b", False),
    "gat-v2": (lambda: pyg.GATv2Conv(FEATURES, 5, heads=2), "b", True),
    "gat-v2 shared": (lambda: pyg.GATv2Conv(FEATURES, 9, share_weights=True, concat=False, residual=True), "b", True),
    "gat-v2 edges": (lambda: pyg.GATv2Conv(FEATURES, 5, edge_dim=EDGE_FEATURES), "be", False),
    "supergat": (lambda: pyg.SuperGATConv(FEATURES, 8, heads=2), "", True),
    "supergat mean": (lambda: pyg.SuperGATConv(FEATURES, 3, heads=2, concat=False, add_self_loops=False), "", True),
    "supergat scaled": (lambda: pyg.SuperGATConv(FEATURES, 9, attention_type="SD", dropout=0.5), "", True),
}


@pytest.mark.filterwarnings("ignore:Sparse (invariant|CSR)")
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_a_convolution_of_pyg_has_a_kernel_or_runs_as_it_is(name: str) -> None:
    build, takes, lowered = CONVOLUTIONS[name]
    torch.manual_seed(0)
    layer = build().eval()
    for parameter in layer.parameters():
        nn.init.normal_(parameter)
    compiled = compile(layer)
    assert (KERNEL in compiled._modules) == lowered
    assert ("is left" not in explain(compiled).get("", "is left")) == lowered
    for nodes, edge_index in ODD_GRAPHS.values():
        x = torch.randn(nodes, FEATURES)
        assert_same(compiled, layer, x, edge_index)
        if "w" in takes:
            assert_same(compiled, layer, x, edge_index, torch.rand(edge_index.shape[1]))
        if "b" in takes:
            assert_same(compiled, layer, (x, torch.randn(nodes, FEATURES)), edge_index)
        if "e" in takes:
            for features in (torch.randn(edge_index.shape[1], EDGE_FEATURES), torch.randn(edge_index.shape[1])):
                assert_same(compiled, layer, x, edge_index, features)
        # As a sparse tensor, which no kernel knows.
        if name != "other flow" and "sage" not in name:
            sparse = torch.sparse_coo_tensor(edge_index.flip(0), torch.ones(edge_index.shape[1]), (nodes, nodes))
            assert_same(compiled, layer, x, sparse.coalesce().to_sparse_csr())


def test_attention_that_is_asked_for_its_weights_runs_as_the_layer() -> None:
    layer = pyg.GATConv(FEATURES, 5, heads=2).eval()
    nodes, edge_index = ODD_GRAPHS["unsorted"]
    x = torch.randn(nodes, FEATURES)
    out, (index, weight) = compile(layer)(x, edge_index, return_attention_weights=True)
    expected, (expected_index, expected_weight) = layer(x, edge_index, return_attention_weights=True)
    assert torch.equal(index, expected_index)
    torch.testing.assert_close((out, weight), (expected, expected_weight))
    assert_same(compile(layer), layer, x, edge_index, None, (nodes, nodes))
    assert_same(compile(layer), layer, (x, None), edge_index)
