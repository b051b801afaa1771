"""Graphs larger than memory: blocks of nodes give what the module gives, or one sentence, and leave nothing behind."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric import nn as pyg

from gnn.errors import SettingError
from gnn.models import MODELS, build_model_for
from gnn.native import aggregate
from gnn.runtime import compile as compile_module
from gnn.runtime import infer_in_blocks
from gnn.runtime.blocks import run, steps
from gnn.runtime.blocks.row_tables import MappedRows
from gnn.runtime.pyg_layers import Graph
from tests.gnn.citation_checks import link_task
from tests.gnn.compiled_checks import ODD_GRAPHS
from tests.gnn.conftest import build_small_task
from tests.gnn.foreign_models import foreign_model, randomise

CHANNELS, WIDTH, NODES, EDGES = 5, 8, 200, 1500
# So many bytes let some of the edges and a few dozen nodes of the random graph be there at a time.
SMALL = 60_000


class Net(nn.Module):
    """A residual, a jump and a normalisation around three convolutions, with weights of edges or without."""

    def __init__(self, convolution: Callable[[int, int], nn.Module]) -> None:
        super().__init__()
        self.first, self.second = convolution(CHANNELS, WIDTH), convolution(WIDTH, WIDTH)
        self.last, self.norm = convolution(2 * WIDTH, 3), nn.BatchNorm1d(WIDTH)

    def forward(self, x: Tensor, edge_index: Tensor, *weight: Tensor) -> Tensor:
        """Logarithms of class probabilities."""
        first = functional.relu(self.first(x, edge_index, *weight), inplace=True)
        second = self.norm(self.second(first, edge_index, *weight)).relu() + first
        both = functional.dropout(torch.cat([first, second], dim=1), 0.5, self.training)
        return self.last(both, edge_index, *weight).log_softmax(dim=-1)


class WeighedNet(Net):
    """The same with a weight for each edge."""

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Logarithms of class probabilities."""
        return super().forward(x, edge_index, edge_weight)


class PlainNet(Net):
    """The same without."""

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Logarithms of class probabilities."""
        return super().forward(x, edge_index)


def gin(channels: int, out: int) -> nn.Module:
    layers = (nn.Linear(channels, 6), nn.BatchNorm1d(6), nn.ReLU(inplace=True), nn.Linear(6, out))
    return pyg.GINConv(nn.Sequential(*layers), eps=0.3)


PLAIN: dict[str, Callable[[int, int], nn.Module]] = {
    "gcn": pyg.GCNConv,
    "gcn, no loops": lambda i, o: pyg.GCNConv(i, o, add_self_loops=False, bias=False),
    "gcn, not normalised": lambda i, o: pyg.GCNConv(i, o, normalize=False, aggr="mean"),
    "sage": pyg.SAGEConv,
    "sage, projected": lambda i, o: pyg.SAGEConv(i, o, project=True, normalize=True),
    "sage, maximum": lambda i, o: pyg.SAGEConv(i, o, aggr="max", root_weight=False),
    "graph": lambda i, o: pyg.GraphConv(i, o, aggr="mean"),
    "gin": gin,
    "tag": lambda i, o: pyg.TAGConv(i, o, K=2),
    "sg": lambda i, o: pyg.SGConv(i, o, K=2),
}
WEIGHED = {
    "gcn, improved": lambda i, o: pyg.GCNConv(i, o, improved=True),
    "gcn, mean, weighed": lambda i, o: pyg.GCNConv(i, o, aggr="mean"),
    "graph, weighed": lambda i, o: pyg.GraphConv(i, o, aggr="mean"),
    "tag, not normalised": lambda i, o: pyg.TAGConv(i, o, K=2, normalize=False),
}
CASES = [(PlainNet, layer) for layer in PLAIN.values()] + [(WeighedNet, layer) for layer in WEIGHED.values()]


def random_graph(seed: int = 0) -> tuple[int, Tensor]:
    """Unsorted edges, some equal, some loops; the first nodes have many, the last none."""
    generator = torch.Generator().manual_seed(seed)
    edges = (torch.rand(2, EDGES, generator=generator) ** 2 * (NODES - 5)).long()
    return NODES, edges


def compiled_net(net: type[Net] = PlainNet, convolution: Callable[[int, int], nn.Module] = pyg.GCNConv) -> nn.Module:
    torch.manual_seed(0)
    module = net(convolution).eval()
    randomise(module)
    return compile_module(module)


@torch.no_grad()
def assert_same(compiled: nn.Module, *arguments: Any, given: Any = (), **options: Any) -> None:  # noqa: ANN401
    expected = compiled(*arguments)
    found = infer_in_blocks(compiled, *(given or arguments), **options)
    atol = 1e-5 * float(expected.nan_to_num(0, 0, 0).abs().max()) if expected.numel() else 0.0
    rows = found if isinstance(found, Tensor) else torch.from_numpy(np.array(found))
    torch.testing.assert_close(rows, expected, rtol=1e-5, atol=atol, equal_nan=True)


@pytest.mark.parametrize("graph", [*ODD_GRAPHS, "random"])
@pytest.mark.parametrize(("net", "convolution"), CASES, ids=[*PLAIN, *WEIGHED])
def test_blocks_give_what_the_module_gives(
    net: type[Net], convolution: Callable[[int, int], nn.Module], graph: str
) -> None:
    nodes, edges = random_graph() if graph == "random" else ODD_GRAPHS[graph]
    x, weight = torch.randn(nodes, CHANNELS), torch.rand(edges.shape[1])
    compiled = compiled_net(net, convolution)
    for limit in (2**30, SMALL):
        assert_same(compiled, x, edges, *([weight] if net is WeighedNet else []), memory_limit=limit)


@pytest.mark.parametrize("name", ["gcn", "gcn-jk-cat", "gin", "sage"])
def test_models_of_pyg_run_fused_or_not(name: str) -> None:
    module, arguments = foreign_model(name)
    for compiled in (compile_module(module), compile_module(module, arguments)):
        assert_same(compiled, *arguments, memory_limit=SMALL)


@pytest.mark.parametrize("name", ["gcn", "graphconv", "graphsage", "ness", "spline", "ssp"])
def test_models_of_the_library_take_what_they_prepared(name: str) -> None:
    task = build_small_task() if MODELS[name].task_kinds == ("node-classification",) else link_task()
    model = build_model_for(name, task).eval()
    inputs = model.prepare(task)
    for limit in (2**30, 120_000):
        assert_same(compile_module(model, (inputs,)), inputs, memory_limit=limit)


def on_disk(folder: Path, mode: Any, *tensors: Tensor) -> list[np.ndarray[Any, Any]]:  # noqa: ANN401
    """Memory maps of what is in these tensors."""
    for number, tensor in enumerate(tensors):
        np.save(folder / f"{number}.npy", tensor.numpy())
    return [np.load(folder / f"{number}.npy", mmap_mode=mode) for number in range(len(tensors))]


@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_everything_may_be_on_disk(mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    nodes, edges = random_graph(1)
    x, compiled = torch.randn(nodes, CHANNELS), compiled_net(WeighedNet, pyg.GraphConv)
    weight = torch.rand(edges.shape[1])
    mapped = on_disk(tmp_path, mode, x, edges, weight)
    if mode == "c":
        # A change that is in no file.
        mapped[0][3, 2] = x[3, 2] = 7.0
    before = sorted(tmp_path.iterdir())
    assert_same(compiled, x, edges, weight, given=mapped, memory_limit=SMALL, output=tmp_path / "out.npy")
    assert sorted(tmp_path.iterdir()) == sorted([*before, tmp_path / "out.npy"])
    assert np.array_equal(np.array(mapped[0]), x.numpy())


@pytest.mark.parametrize("name", ["gcn", "sage, maximum", "sage", "gin"])
def test_layers_that_do_not_fit_go_to_disk(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mapped: list[int] = []
    monkeypatch.setattr(run, "MappedRows", lambda array: mapped.append(len(array)) or MappedRows(array))
    nodes, edges = 3000, (torch.rand(2, 20_000, generator=torch.Generator().manual_seed(0)) * 3000).long()
    x, output = torch.randn(nodes, CHANNELS), tmp_path / "out.npy"
    assert_same(compiled_net(PlainNet, PLAIN[name]), x, edges, memory_limit=250_000, output=output)
    assert nodes in mapped


def test_numbers_that_are_none_are_the_modules_own() -> None:
    nodes, edges = random_graph()
    x = torch.randn(nodes, CHANNELS)
    x[7, 1], x[9, 0] = torch.nan, torch.inf
    for convolution in ("gcn", "sage, maximum"):
        assert_same(compiled_net(PlainNet, PLAIN[convolution]), x, edges, memory_limit=SMALL)


def test_a_graph_without_nodes_gives_no_rows(tmp_path: Path) -> None:
    compiled = compiled_net()
    x, edges = torch.zeros(0, CHANNELS), torch.zeros(2, 0, dtype=torch.int64)
    assert_same(compiled, x, edges, memory_limit=SMALL)
    assert_same(compiled, x, edges, memory_limit=SMALL, output=tmp_path / "out.npy")


def test_a_layer_that_keeps_its_first_graph_keeps_none_that_is_tried() -> None:
    nodes, edges = random_graph()
    compiled = compiled_net(PlainNet, lambda i, o: pyg.GCNConv(i, o, cached=True))
    found = infer_in_blocks(compiled, torch.ones(nodes, CHANNELS), edges, memory_limit=SMALL)
    torch.testing.assert_close(found, compiled(torch.ones(nodes, CHANNELS), edges), rtol=1e-5, atol=1e-5)
    with pytest.raises(SettingError, match="has kept its first graph"):
        infer_in_blocks(compiled, torch.ones(nodes, CHANNELS), edges, memory_limit=SMALL)


class Odd(nn.Module):
    """One convolution, and something before it."""

    def __init__(self, before: Callable[[Tensor, Tensor], Tensor], layer: nn.Module | None = None) -> None:
        super().__init__()
        self.before, self.convolution = before, layer or pyg.GCNConv(CHANNELS, CHANNELS)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """What the convolution makes of what comes before it."""
        return self.before(self.convolution(x, edge_index), x)


REFUSED = {
    "readout": (lambda hidden, x: (hidden + x).sum(dim=0, keepdim=True), "row by row"),
    "centred": (lambda hidden, x: hidden - x.mean(0), "mean"),
    "softmax over nodes": (lambda hidden, x: torch.softmax(hidden, dim=0) + x, "along the nodes"),
    "rows below rows": (lambda hidden, x: torch.cat([hidden, x]), "along the nodes"),
    "sorted": (lambda hidden, x: hidden[x.argsort(0)[:, 0]], "argsort"),
    "in place, read twice": (lambda hidden, x: functional.relu_(hidden) + hidden * x, "in place"),
    "control flow": (lambda hidden, x: hidden if x.sum() > 0 else x, "cannot be traced"),
    "two results": (lambda hidden, x: (hidden, x), "no row for each node"),
    "another axis": (lambda hidden, x: torch.add(hidden, torch.ones(3, 1, 1)) + x, "axes|rows of its own"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_another_kind_of_step_is_refused(what: str) -> None:
    before, said = REFUSED[what]
    nodes, edges = random_graph()
    with pytest.raises(SettingError, match=said):
        infer_in_blocks(compile_module(Odd(before)), torch.ones(nodes, CHANNELS), edges, memory_limit=2**30)


def test_a_convolution_that_has_no_kernel_is_refused() -> None:
    nodes, edges = random_graph()
    layers = (pyg.GATConv(CHANNELS, CHANNELS), pyg.ChebConv(CHANNELS, CHANNELS, K=2))
    for layer in layers:
        compiled = compile_module(Odd(torch.add, layer))
        with pytest.raises(SettingError, match="'convolution'"):
            infer_in_blocks(compiled, torch.ones(nodes, CHANNELS), edges, memory_limit=2**30)


X, (_, GRAPH) = torch.ones(NODES, CHANNELS), random_graph()
STAR = torch.stack([torch.arange(NODES), torch.full((NODES,), 3)])
BAD = {
    "beyond": ((X, torch.tensor([[0], [NODES]])), 2**30, f"an edge names node {NODES}, but there are {NODES}"),
    "below": ((X, torch.tensor([[-1], [0]])), 2**30, "an edge names node -1"),
    "width": ((X[:, 1:], GRAPH), 2**30, "features with 4 channels do not fit"),
    "kind": ((X.double(), GRAPH), 2**30, "float64"),
    "weights": ((X, GRAPH, torch.ones(3)), 2**30, "1500 edges have 3 weights"),
    "no limit": ((X, GRAPH), 0, "memory_limit is 0"),
    "nodes": ((X, GRAPH), 1000, "has 200 nodes, for which alone 2408 bytes"),
    "neighbours": ((X, STAR), 12_000, "node 3 .* 20[01] "),
    "result": ((X, GRAPH), 5_000, "node 0|give output="),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    arguments, limit, said = BAD[what]
    compiled = compiled_net(WeighedNet if len(arguments) == 3 else PlainNet)
    (tmp_path / "out.npy").write_text("an older result")
    for output in ({}, {"output": tmp_path / "out.npy"}):
        with pytest.raises(SettingError, match=said):
            infer_in_blocks(compiled, *arguments, memory_limit=limit, **output)
        assert [path.name for path in tmp_path.iterdir()] == ["out.npy"]
        assert (tmp_path / "out.npy").read_text() == "an older result"


def test_a_result_that_does_not_fit_asks_for_a_file(tmp_path: Path) -> None:
    nodes, edges = 5000, torch.zeros(2, 0, dtype=torch.int64)
    compiled = compile_module(Odd(lambda hidden, _: hidden, pyg.GraphConv(CHANNELS, 64)))
    with pytest.raises(SettingError, match=r"result takes 1280000 bytes, .* give output="):
        infer_in_blocks(compiled, torch.ones(nodes, CHANNELS), edges, memory_limit=500_000)
    assert_same(compiled, torch.ones(nodes, CHANNELS), edges, memory_limit=500_000, output=tmp_path / "out.npy")


def test_only_what_is_compiled_runs() -> None:
    with pytest.raises(SettingError, match="is not compiled"):
        infer_in_blocks(Net(pyg.GCNConv), X, GRAPH, memory_limit=2**30)


def test_what_gives_something_else_on_a_small_graph_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(kernel: Any, x: Any, edges: Any) -> steps.Step:  # noqa: ANN401
        return steps.Step("sum", aggregate, over=steps.over_edges(kernel, edges, None), sources=x)

    monkeypatch.setitem(steps.CONVERT, Graph, wrong)
    compiled = compile_module(Odd(torch.add, pyg.GraphConv(CHANNELS, CHANNELS)))
    with pytest.raises(SettingError, match="give something else than the forward"):
        infer_in_blocks(compiled, X, GRAPH, memory_limit=2**30)
