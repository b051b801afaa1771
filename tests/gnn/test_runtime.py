"""What is compiled says what its module says, whatever the module and the graph."""

import copy
import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric import nn as pyg
from torch_geometric.nn import global_max_pool

from gnn.compression import GlobalMagnitude, Structured, compress
from gnn.errors import SettingError
from gnn.layers import GraphConvolution, NormalizedAdjacency, SplineConvolution
from gnn.layers.readout import max_readout
from gnn.layers.rules import lower
from gnn.models import GraphModel
from gnn.runtime import (
    compile,  # noqa: A004
    compile_inference,
    explain,
    model_inference,
)
from gnn.runtime.graph_cache import STRUCTURE
from gnn.runtime.kernels import KERNEL, Affine
from gnn.tasks import Task
from tests.gnn.compiled_checks import ODD_GRAPHS, assert_same, edges
from tests.gnn.five_models import FIVE_MODELS, random_model, small_tasks
from tests.gnn.foreign_models import FEATURES, foreign_model
from tests.gnn.toy_quantization import toy_context

TASKS = small_tasks()
SETTINGS = [None, GlobalMagnitude(0.99), Structured(0.5)]
FUSED = {
    "gin": "fused: sum and product in one (6x), normalisation in the next product (5x), "
    "activation in its product (11x), function of numbers (1x), products in one (6x)",
    "gnnnet": "fused: maximum before bias and activation (1x), activation in its product (2x), "
    "function of numbers (1x)",
    "spline": "fused: activation in its product (1x)",
}


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("name", FIVE_MODELS)
def test_a_compressed_model_says_compiled_what_it_says(name: str, settings: Any, tmp_path: Path) -> None:  # noqa: ANN401
    model, task = random_model(name, TASKS[name]), TASKS[name]
    if settings is not None:
        model = compress(model, settings, toy_context(name, task, tmp_path)).model
    state, sha256 = copy.deepcopy(model.state_dict()), task.to("cpu").sha256
    inference, expected = compile_inference(model.train(), task), model_inference(model, task)()
    first = inference()
    torch.testing.assert_close(first, expected, rtol=1e-5, atol=1e-5 * float(expected.abs().max()))
    assert torch.equal(inference(), first)
    assert not first.requires_grad
    assert task.to("cpu").sha256 == sha256
    assert all(torch.equal(tensor, state[key]) for key, tensor in model.state_dict().items())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(7.0)
    assert torch.equal(inference(), first)


def example_of(model: GraphModel, task: Task) -> Any:  # noqa: ANN401
    inputs = model.prepare(task)
    return inputs["test"] if isinstance(inputs, dict) else inputs


@pytest.mark.parametrize("name", FUSED)
def test_every_peephole_is_used_by_a_model(name: str) -> None:
    model = random_model(name, TASKS[name])
    example = example_of(model, TASKS[name])
    compiled = compile(model, example)
    assert explain(compiled)[""].partition("; equal rows")[0] == FUSED[name]
    assert_same(compiled, model, example)


@pytest.mark.parametrize("name", ["spline", "ness"])
def test_words_that_no_weight_looks_at_are_dropped(name: str) -> None:
    model: Any = random_model(name, TASKS[name])
    weights = [model.conv1.weight, model.conv1.lin.weight.t()] if name == "spline" else [model.lin.weight.t()]
    for kept in (10, 0):
        with torch.no_grad():
            for weight in weights:
                weight[..., kept:, :] = 0
        compiled, inputs = compile(model), model.prepare(TASKS[name])
        assert_same(compiled, model, inputs)
        layer = compiled.conv1 if name == "spline" else compiled
        product = layer._modules[KERNEL] if name == "spline" else layer._modules[KERNEL].product
        assert len(product._table) == kept


def test_a_cached_convolution_stays_with_its_first_graph() -> None:
    layer = pyg.GCNConv(FEATURES, 5, cached=True).eval()
    compiled, x = compile(layer), torch.randn(6, FEATURES)
    for edge_index in (ODD_GRAPHS["unsorted"][1], edges((0, 5))):
        assert_same(compiled, layer, x, edge_index)


def test_a_graph_that_was_changed_in_place_is_another_one_and_no_graph_is_kept_alive() -> None:
    layer, x = pyg.GraphConv(FEATURES, 5).eval(), torch.randn(6, FEATURES)
    compiled, edge_index, weight = compile(layer), ODD_GRAPHS["unsorted"][1].clone(), torch.rand(7)
    # Graphs of other tests that are waiting for it go now.
    gc.collect()
    before = len(STRUCTURE._kept)
    assert_same(compiled, layer, x, edge_index, weight)
    assert len(STRUCTURE._kept) == before + 1
    edge_index[0, 0] = 3
    assert_same(compiled, layer, x, edge_index, weight)
    weight[0] = 9.0
    assert_same(compiled, layer, x, edge_index, weight)
    edge_index.data = edges((0, 1), (1, 2), (3, 4), (5, 5), (2, 0), (0, 2), (4, 4))
    assert_same(compiled, layer, x, edge_index, weight)
    assert_same(compiled, layer, x, edge_index, torch.rand(7))
    with torch.inference_mode():
        fresh = edge_index.clone()
        assert_same(compiled, layer, x, fresh, weight)
        fresh[0, 0] = 4
        assert_same(compiled, layer, x, fresh, weight)
    assert len(STRUCTURE._kept) == before + 2
    del edge_index, fresh
    gc.collect()
    assert len(STRUCTURE._kept) == before


def test_a_spline_convolution_builds_its_operator_once_per_graph() -> None:
    layer = SplineConvolution(FEATURES, 5, [3]).eval()
    for nodes, edge_index in ODD_GRAPHS.values():
        assert_same(compile(layer), layer, torch.randn(nodes, FEATURES), edge_index, torch.rand(edge_index.shape[1], 1))
    largest = SplineConvolution(FEATURES, 5, [3], aggregation="max").eval()
    assert explain(compile(largest))[""] == "SplineConvolution is left as it is: a maximum over edges is no product"


class Mixed(nn.Module):
    """Normalisation before a layer, and the maximum over nodes after an activation, as users write it."""

    def __init__(self, norm: nn.Module, pool: Callable[..., Tensor]) -> None:
        super().__init__()
        self.norm, self.conv, self.out = norm, GraphConvolution(FEATURES, 5), nn.Linear(5, 2)
        self.pool = pool

    def forward(self, x: Tensor, adjacency: Any, batch: Tensor, scale: float | None = None) -> Tensor:  # noqa: ANN401
        """Logits of graphs."""
        hidden = functional.elu(self.conv(self.norm(x), adjacency))
        out = self.out(max_readout(hidden, batch, 3) if self.pool is max_readout else global_max_pool(hidden, batch))
        return out if scale is None else out * scale


@pytest.mark.parametrize("pool", [max_readout, global_max_pool])
@pytest.mark.parametrize(
    ("norm", "fused"),
    [
        (nn.BatchNorm1d(FEATURES), "normalisation in the next product (1x)"),
        (nn.Identity(), "maximum before bias and activation (1x)"),
    ],
)
def test_patterns_of_a_users_module_are_fused_and_other_calls_run_its_own_forward(
    norm: nn.Module, fused: str, pool: Callable[..., Tensor]
) -> None:
    torch.manual_seed(0)
    module = Mixed(norm, pool)
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    module.eval()
    adjacency, batch = NormalizedAdjacency(ODD_GRAPHS["unsorted"][1], 6), torch.tensor([0, 0, 1, 1, 2, 2])
    example = (torch.randn(6, FEATURES), adjacency, batch)
    compiled = compile(module, example)
    assert explain(compiled)[""].startswith(f"fused: {fused}")
    without_nodes = torch.tensor([0, 0, 0, 2, 2, 2])
    for arguments in (example, (*example, 2.0), (example[0], torch.rand(6, 6), batch), (*example[:2], without_nodes)):
        assert_same(copy.deepcopy(compiled), module, *arguments)


class Restless(nn.Module):
    """A forward whose path depends on numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.hooked = nn.Linear(FEATURES, 5), nn.Linear(5, 5)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.linear(x)
        return self.hooked(hidden) if hidden.sum() > 0 else hidden


class InPlace(nn.Module):
    """A forward that changes what a layer gave, and that does not use what the change returns."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(FEATURES, 5)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.linear(x)
        hidden.mul_(2)
        return functional.relu(hidden)


class ReadTwice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(FEATURES, 5)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.linear(x)
        return functional.relu(hidden) + hidden


def test_what_cannot_be_traced_or_has_hooks_is_said_and_runs() -> None:
    module = Restless().eval()
    example = torch.randn(4, FEATURES)
    compiled = compile(module, example)
    assert explain(compiled)[""].startswith("not fused, since its forward cannot be traced (TraceError: ")
    for x in (example, -example, 3 * torch.randn(8, FEATURES)):
        assert_same(compiled, module, x)
    changing = compile(InPlace(), example)
    assert "may change something in place" in explain(changing)[""]
    assert explain(compile(ReadTwice(), example))[""].startswith("nothing to fuse; equal rows not once: no step")
    module.hooked.register_forward_hook(lambda *called: called[2] + 1)
    compiled = compile(module, example)
    assert explain(compiled)["hooked"].startswith("Linear has hooks")
    assert explain(compiled)[""] == "not fused, since a layer has hooks"
    assert_same(compiled, module, example)
    with pytest.raises(SettingError, match=r"^Restless is not compiled; give what gnn\.runtime\.compile returned$"):
        explain(module)


def test_a_rule_from_outside_holds_and_a_subclass_that_computes_otherwise_has_none() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(FEATURES, 5)

        def forward(self, x: Tensor) -> Tensor:
            return self.linear(x)

    class Doubled(Own):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * self.linear(x)

    lower.register(Own)(lambda layer: Affine(layer.linear.weight.t(), layer.linear.bias))
    x = torch.randn(4, FEATURES)
    for layer, said in ((Own(), "one product with bias"), (Doubled(), None)):
        assert explain(compile(layer)).get("") == said
        assert_same(compile(layer), layer, x)
    assert explain(compile(nn.Sequential(Doubled())))["0.linear"] == "one product with bias"


class Rectified(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (named so by torch)
        return super().forward(input).relu()


@pytest.mark.parametrize("other", [nn.Linear, Rectified, lambda *sizes: nn.Sequential(nn.Linear(*sizes), nn.Tanh())])
@pytest.mark.parametrize(
    ("convolution", "place"),
    [
        (pyg.GCNConv(FEATURES, 5), "lin"),
        (pyg.SAGEConv(FEATURES, 5), "lin_l"),
        (pyg.SAGEConv(FEATURES, 5), "lin_r"),
        (pyg.SAGEConv(FEATURES, 5, project=True), "lin"),
        (pyg.GraphConv(FEATURES, 5), "lin_root"),
        (pyg.SGConv(FEATURES, 5), "lin"),
        (pyg.TAGConv(FEATURES, 5), "lins.1"),
        (GraphConvolution(FEATURES, 5), "lin"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else None,
)
def test_what_a_user_puts_in_the_place_of_a_linear_layer_is_not_passed_by(
    convolution: nn.Module, place: str, other: Callable[..., nn.Module]
) -> None:
    changed: Any = copy.deepcopy(convolution).eval()
    inside = changed.get_submodule(place)
    changed.set_submodule(place, other(*reversed(inside.weight.shape)))
    x, edge_index = torch.randn(6, FEATURES), torch.randint(0, 6, (2, 15))
    graph = NormalizedAdjacency(edge_index, 6) if isinstance(convolution, GraphConvolution) else edge_index
    assert_same(compile(changed), changed, x, graph)
    if other is not nn.Linear:
        assert explain(compile(changed))[""].endswith("stands where it has a linear layer")


@pytest.mark.parametrize("name", ["gcn", "sage", "gin"])
def test_bad_input_is_an_error_as_in_the_module(name: str) -> None:
    module, (x, edge_index) = foreign_model(name)
    compiled = compile(module, (x, edge_index))
    for arguments in ((x[:, :3], edge_index), (x[:9], edge_index), (x, edge_index - 9)):
        for form in (module, compiled):
            with pytest.raises((RuntimeError, IndexError, SettingError, ValueError)):
                form(*arguments)
    assert_same(compiled, module, x.long(), edge_index)
    with pytest.raises(SettingError, match=r"^an edge names node \d+, but there are 9; give an edge_index that fits"):
        compiled(x[:9], edge_index)
