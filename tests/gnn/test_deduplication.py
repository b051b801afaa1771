"""Equal rows once: the same numbers for every rule and every odd graph, and as few rows as there are colours."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric import nn as pyg
from torch_geometric.nn import global_add_pool, global_max_pool, global_mean_pool

from gnn.layers import GraphConvolution, NormalizedAdjacency
from gnn.layers.readout import max_readout
from gnn.models.gin import GinConvolution
from gnn.runtime import colours, compile, compile_inference, explain  # noqa: A004
from gnn.runtime.deduplication import Deduplication
from tests.gnn.compiled_checks import ODD_GRAPHS, assert_same, repeated
from tests.gnn.five_models import random_model
from tests.gnn.foreign_models import randomise
from tests.gnn.random_graphs import random_task

CHANNELS, WIDTH, GRAPHS = 3, 5, 4


def mlp(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(channels, 6), nn.BatchNorm1d(6), nn.ELU(), nn.Linear(6, WIDTH))


CONVOLUTIONS: dict[str, Callable[[int], nn.Module]] = {
    "gcn": lambda channels: pyg.GCNConv(channels, WIDTH),
    "gcn mean": lambda channels: pyg.GCNConv(channels, WIDTH, normalize=False, aggr="mean"),
    "sage": lambda channels: pyg.SAGEConv(channels, WIDTH, project=True, normalize=True),
    "sage max": lambda channels: pyg.SAGEConv(channels, WIDTH, aggr="max"),
    "graph": lambda channels: pyg.GraphConv(channels, WIDTH),
    "graph max": lambda channels: pyg.GraphConv(channels, WIDTH, aggr="max"),
    "gin": lambda channels: pyg.GINConv(mlp(channels), eps=0.3),
    "gin without itself": lambda channels: pyg.GINConv(mlp(channels), eps=-1.0),
    "tag": lambda channels: pyg.TAGConv(channels, WIDTH),
    "sg": lambda channels: pyg.SGConv(channels, WIDTH, K=2),
    "gat": lambda channels: pyg.GATConv(channels, WIDTH, residual=True),
    "gat-v2": lambda channels: pyg.GATv2Conv(channels, WIDTH, heads=2, concat=False),
    "supergat": lambda channels: pyg.SuperGATConv(channels, WIDTH),
    "own gcn": lambda channels: GraphConvolution(channels, WIDTH),
    "own gin": lambda channels: GinConvolution(channels, WIDTH),
}
WEIGHED = ("gcn", "gcn mean", "graph", "tag", "sg")
READOUTS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "nodes": lambda rows, batch: rows,  # noqa: ARG005
    "sum": lambda rows, batch: global_add_pool(rows, batch, GRAPHS),
    "mean": lambda rows, batch: global_mean_pool(rows, batch, size=GRAPHS),
    "maximum": lambda rows, batch: global_max_pool(rows, batch, GRAPHS),
    "own maximum": lambda rows, batch: max_readout(rows, batch, GRAPHS),
}


class Net(nn.Module):
    """Two convolutions whose rows meet again: a residual, both levels side by side, and a readout."""

    def __init__(self, convolution: str, readout: str = "nodes") -> None:
        super().__init__()
        build = CONVOLUTIONS[convolution]
        self.first, self.second = build(CHANNELS), build(WIDTH)
        self.beside, self.norm = nn.Linear(CHANNELS, WIDTH), nn.BatchNorm1d(WIDTH)
        self.out = nn.Linear(2 * WIDTH + CHANNELS, 2)
        self.readout = READOUTS[readout]

    def forward(self, x: Tensor, edges: Any, batch: Tensor, weight: Tensor | None = None) -> Tensor:  # noqa: ANN401
        """Rows of nodes or graphs."""
        others = () if weight is None else (weight,)
        first = torch.relu(self.first(x, edges, *others))
        second = functional.elu(self.norm(self.second(first, edges, *others)) + 0.5 * first - self.beside(x))
        return self.readout(self.out(torch.cat([second, x, first.tanh()], dim=1)), batch)


def network(convolution: str, readout: str = "nodes") -> Net:
    torch.manual_seed(0)
    net = Net(convolution, readout).eval()
    randomise(net)
    return net


def operator(convolution: str, edge_index: Tensor, nodes: int) -> Any:  # noqa: ANN401
    """What a convolution is given of the edges."""
    if not convolution.startswith("own"):
        return edge_index
    normalised = NormalizedAdjacency(edge_index, nodes)
    return (
        normalised.matrix if convolution == "own gcn" else NormalizedAdjacency(edge_index, nodes, self_loops=False).sum
    )


def of(compiled: Any) -> Deduplication:  # noqa: ANN401
    return compiled._fused.deduplication


# Few different features, so that rows are equal, and those whose bytes say more or less than they are.
FEATURE = st.sampled_from([0.0, -0.0, 1.0, float("nan")])


@st.composite
def graphs(draw: st.DrawFn) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Features, edges with equal ones and loops, the graph of each node and a weight of each edge."""
    nodes = draw(st.integers(1, 9))
    node = st.integers(0, nodes - 1)
    pairs = draw(st.lists(st.tuples(node, node), max_size=20))
    features = draw(st.lists(FEATURE, min_size=nodes, max_size=nodes))
    weights = draw(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=len(pairs), max_size=len(pairs)))
    batch = draw(st.lists(st.integers(0, GRAPHS - 1), min_size=nodes, max_size=nodes))
    x = torch.tensor(features)[:, None].expand(-1, CHANNELS).contiguous()
    edges = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).t().contiguous()
    return x, edges, torch.tensor(batch).sort().values, torch.tensor(weights)


@pytest.mark.parametrize(
    ("convolution", "readout"),
    [
        *((name, "nodes") for name in CONVOLUTIONS),
        *((name, kind) for name in ("gcn", "own gin") for kind in READOUTS if kind != "nodes"),
    ],
)
def test_every_convolution_and_readout_gives_what_it_gives(convolution: str, readout: str) -> None:
    net, compiled = network(convolution, readout), dict[int, nn.Module]()

    @settings(max_examples=15, deadline=None, database=None)
    @given(graphs(), st.integers(1, 3), st.booleans())
    def holds(graph: tuple[Tensor, Tensor, Tensor, Tensor], copies: int, weighs: bool) -> None:
        x, edges, batch, weight = graph
        nodes = len(x)
        edges = torch.cat([edges + number * nodes for number in range(copies)], dim=1)
        x, batch = x.repeat(copies, 1), batch.repeat(copies)
        arguments = (x, operator(convolution, edges, len(x)), batch)
        if weighs and convolution in WEIGHED:
            arguments = (*arguments, weight.repeat(copies))
        if len(arguments) not in compiled:
            compiled[len(arguments)] = compile(net, arguments, deduplicate=True)
        assert_same(compiled[len(arguments)], net, *arguments)
        state = of(compiled[len(arguments)]).last
        assert state is not None
        assert state.prepared is not None
        assert max(state.colours) <= nodes
        assert len(state.colours) == 1 + sum(getattr(layer, "K", 1) for layer in (net.first, net.second))

    holds()


@pytest.mark.parametrize("convolution", CONVOLUTIONS)
def test_a_compiled_module_takes_every_odd_graph_after_its_example(convolution: str) -> None:
    net, compiled = network(convolution), None
    for nodes, edges in ODD_GRAPHS.values():
        x = torch.randint(0, 2, (nodes, CHANNELS)).float()
        arguments = (x, operator(convolution, edges, nodes), torch.zeros(nodes, dtype=torch.int64))
        compiled = compiled or compile(net, arguments, deduplicate=True)
        assert_same(compiled, net, *arguments)
    assert compiled is not None
    empty = (torch.zeros(0, CHANNELS), operator(convolution, torch.zeros(2, 0, dtype=torch.int64), 0))
    assert_same(compiled, net, *empty, torch.zeros(0, dtype=torch.int64))


def test_a_graph_is_looked_at_when_it_comes_again_and_only_where_it_pays() -> None:
    net, (x, edges, batch) = network("gcn", "mean"), repeated(200, CHANNELS)
    compiled = compile(net, (torch.randn(300, CHANNELS), edges[:, :400], batch[:300]))
    assert of(compiled).last.looked  # pyright: ignore[reportOptionalMemberAccess]
    assert explain(compiled)[""].endswith("; equal rows not once: that would save 0% of the work")
    assert "differ" in explain(compiled)["first"]
    seen = []
    for _ in range(3):
        assert_close(compiled, net, x, edges, batch)
        seen.append(of(compiled).last.prepared is not None)  # pyright: ignore[reportOptionalMemberAccess]
    assert seen == [False, True, True]
    told = explain(compiled)
    assert told["first"] == "embedding bags and products; 600 rows, 2 differ"
    assert told[""].endswith("; equal rows once, which saves 100% of the work")
    few = repeated(20, CHANNELS)
    for _ in range(3):
        assert_close(compiled, net, *few)
        assert of(compiled).prepared(*few) is None
    x[0] = 7.0
    for _ in range(3):
        assert_close(compiled, net, x, edges, batch)
    assert explain(compiled)["first"] == "embedding bags and products; 600 rows, 4 differ"
    assert of(compile(net, (x, edges, batch), deduplicate=True)).prepared(*few) is not None
    assert of(compile(net, (x, edges, batch), deduplicate=False)) is None


def assert_close(compiled: nn.Module, module: nn.Module, *arguments: Any) -> None:  # noqa: ANN401
    with torch.no_grad():
        torch.testing.assert_close(compiled(*arguments), module(*arguments), rtol=1e-5, atol=1e-5)


def test_a_gradient_of_features_and_another_kind_of_call_run_without() -> None:
    net, (x, edges, batch) = network("sage"), repeated(5, CHANNELS)
    compiled = compile(net, (x, edges, batch), deduplicate=True)
    learns = x.clone().requires_grad_()
    compiled(learns, edges, batch).square().sum().backward()
    expected = x.clone().requires_grad_()
    net(expected, edges, batch).square().sum().backward()
    torch.testing.assert_close(learns.grad, expected.grad)
    assert of(compiled).last is None
    for arguments in ((x.double(), edges, batch), (x, edges.int(), batch)):
        assert_same(compiled, net, *arguments)


@pytest.mark.parametrize("name", ["gin", "gnnnet"])
def test_the_models_of_the_paper_give_the_same_on_equal_graphs(name: str) -> None:
    task: Any = random_task()
    collection = task.collection
    collection.features[:] = collection.features.sign()
    model = random_model(name, task)
    graphs = collection.select(torch.arange(8).repeat(5))
    for deduplicate in (True, None):
        compiled: Any = compile(model, graphs, deduplicate=deduplicate)
        assert_same(compiled, model, graphs)
    compiled = compile(model, graphs, deduplicate=True)
    state = of(compiled).last
    assert state is not None
    assert state.rows == 5 * max(state.colours[0], len(collection.select(torch.arange(8)).features))
    assert max(state.colours) <= state.rows // 5
    torch.testing.assert_close(
        compile_inference(model, task, deduplicate=True)(), compile_inference(model, task, deduplicate=False)()
    )


def test_a_collision_of_hashes_is_found_and_runs_without(monkeypatch: pytest.MonkeyPatch) -> None:
    net, (x, edges, batch) = network("graph"), repeated(4, CHANNELS)
    monkeypatch.setenv("GNN_KERNELS", "torch")
    compiled = compile(net, (x, edges, batch), deduplicate=True)
    assert of(compiled).last.prepared is not None  # pyright: ignore[reportOptionalMemberAccess]
    mixed = colours._mixed
    # Some of what differs is one number now: features at first, then neighbours.
    for axes in (2, 1):
        monkeypatch.setattr(
            colours, "_mixed", lambda number, axes=axes: number * 0 if number.dim() == axes else mixed(number)
        )
        other = x.clone()
        assert_same(compiled, net, other, edges, batch)
        assert explain(compiled)[""].endswith("; equal rows not once: two rows that differ have the same hash")
