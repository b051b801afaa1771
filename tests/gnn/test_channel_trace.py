"""Channels of models that nobody here knows are found by one pass, cut everywhere at once, or listed with a reason."""

import copy
import time
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric import nn as pyg
from torch_geometric.nn import global_add_pool
from torch_geometric.nn.dense.linear import Linear as PygLinear

from gnn.compression import Structured, compress
from gnn.compression.channel_groups import ChannelGroup, slice_state
from gnn.compression.channel_trace import Traced, trace_channels
from gnn.compression.narrowing import narrow_model, silenced
from gnn.errors import SettingError
from gnn.layers.rules import Axis, Channels, Rules
from tests.gnn.foreign_models import FEATURES, FOREIGN_MODELS, NODES, ResidualGcn, foreign_model, randomise


def trace(model: nn.Module, example: tuple[Any, ...]) -> Traced:
    return trace_channels(model, lambda module: module(*example))


def some_of(groups: tuple[ChannelGroup, ...]) -> list[Tensor]:
    """Every other channel of the first group, two of three of the next, and so on."""
    return [(torch.arange(group.channels) + number) % (2 + number % 3) != 1 for number, group in enumerate(groups)]


@pytest.mark.parametrize("name", FOREIGN_MODELS)
def test_half_of_the_weights_go_and_every_layer_knows_its_size(name: str) -> None:
    model, example = foreign_model(name)
    compressed = compress(model, Structured(0.5), example=example)
    weights = [
        sum(weight.numel() for weight in one.parameters() if weight.dim() > 1) for one in (model, compressed.model)
    ]
    assert 0.3 * weights[0] < weights[1] <= 0.5 * weights[0]
    assert compressed.untouched == {}
    for layer in compressed.model.modules():
        if isinstance(layer, nn.Linear):
            assert layer.weight.shape == (layer.out_features, layer.in_features)
        if isinstance(layer, PygLinear):
            assert layer.weight.shape == (layer.out_channels, layer.in_channels)
        if isinstance(layer, nn.BatchNorm1d):
            assert layer.num_features == layer.weight.numel()
        if isinstance(layer, pyg.GCNConv):
            assert (layer.out_channels, layer.in_channels) == layer.lin.weight.shape


CONVOLUTIONS: dict[str, Callable[[int, int], nn.Module]] = {
    "gine": lambda i, o: pyg.GINEConv(nn.Sequential(nn.Linear(i, 8), nn.PReLU(8), nn.Linear(8, o)), edge_dim=2),
    "gat-edges": lambda i, o: pyg.GATConv(i, o, heads=2, concat=False, edge_dim=2),
    "gat-v2-edges": lambda i, o: pyg.GATv2Conv(i, o // 2, heads=2, edge_dim=2, share_weights=True),
    "super-gat": lambda i, o: pyg.SuperGATConv(i, o // 2, heads=2),
    "super-gat-mean": lambda i, o: pyg.SuperGATConv(i, o, heads=2, concat=False),
    "cheb": lambda i, o: pyg.ChebConv(i, o, K=3),
    "tag": lambda i, o: pyg.TAGConv(i, o, K=2),
    "sg": lambda i, o: pyg.SGConv(i, o, K=2, cached=True),
    "sage-normalize": lambda i, o: pyg.SAGEConv(i, o, normalize=True, aggr=["mean", "max"]),
    "pna-towers": lambda i, o: pyg.PNAConv(
        i, o, ["mean", "std"], ["identity"], torch.arange(1, 9), towers=2, pre_layers=2, post_layers=2
    ),
}
EDGE_FEATURES = ("gine", "gat-edges", "gat-v2-edges")


class Between(nn.Module):
    """A convolution between two others."""

    def __init__(self, convolution: nn.Module, *, edges: bool) -> None:
        super().__init__()
        self.first, self.second, self.last = pyg.GraphConv(FEATURES, 6), convolution, pyg.GraphConv(12, 3)
        self.edges = edges

    def forward(self, x: Tensor, edge_index: Tensor, edge_attr: Tensor) -> Tensor:
        """Logits of nodes."""
        hidden = functional.elu(self.first(x, edge_index))
        hidden = self.second(hidden, edge_index, edge_attr) if self.edges else self.second(hidden, edge_index)
        return self.last(functional.elu(hidden), edge_index)


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_both_sides_of_a_convolution_are_narrowed(name: str) -> None:
    model = Between(CONVOLUTIONS[name](6, 12), edges=name in EDGE_FEATURES).eval()
    randomise(model)
    example = (*foreign_model("gcn")[1], torch.rand(60, 2))
    traced = trace(model, example)
    assert traced.untouched == {}
    kept = some_of(traced.groups)
    wide = silenced(model, traced, kept)
    narrow_model(model, traced, kept, lambda module: module(*example))
    with torch.no_grad():
        torch.testing.assert_close(model(*example), wide(*example), rtol=1e-4, atol=1e-4)
    assert model.first.out_channels == model.first.lin_rel.weight.shape[0] < 6
    assert model.last.in_channels == model.last.lin_rel.weight.shape[1] < 12


class Pruner:
    """How Torch-Pruning cuts PyG's own linear layer, which is none of torch.nn."""

    @staticmethod
    def of(torch_pruning: Any) -> Any:  # noqa: ANN401
        """An instance of its base class."""
        base = torch_pruning.BasePruningFunc

        class OfLinear(base):
            def prune_out_channels(self, layer: Any, idxs: list[int]) -> Any:  # noqa: ANN401
                return self._cut(layer, idxs, 0)

            def prune_in_channels(self, layer: Any, idxs: list[int]) -> Any:  # noqa: ANN401
                return self._cut(layer, idxs, 1)

            def _cut(self, layer: Any, idxs: list[int], axis: int) -> Any:  # noqa: ANN401
                keep = sorted(set(range(layer.weight.shape[axis])) - set(idxs))
                layer.weight = self._prune_parameter_and_grad(layer.weight, keep, axis)
                layer.out_channels, layer.in_channels = layer.weight.shape
                if axis == 0 and layer.bias is not None:
                    layer.bias = self._prune_parameter_and_grad(layer.bias, keep, 0)
                return layer

            def get_out_channels(self, layer: Any) -> int:  # noqa: ANN401
                return layer.out_channels

            def get_in_channels(self, layer: Any) -> int:  # noqa: ANN401
                return layer.in_channels

        return OfLinear()


@pytest.mark.parametrize("name", ["gcn", "gcn-jk-cat", "gin", "sage", "edge-cnn", "residual-gcn", "jumping-gin"])
def test_torch_pruning_cuts_the_same_slices(name: str) -> None:
    torch_pruning: Any = pytest.importorskip("torch_pruning", reason="pip install torch-pruning==1.6.1")
    model, example = foreign_model(name)
    groups = trace(model, example).groups
    for number, group in enumerate(groups):
        own, pruner = copy.deepcopy(model), Pruner.of(torch_pruning)
        layer = own.get_submodule(group.name)
        with warnings.catch_warnings():
            # It warns of every parameter that no layer it knows owns.
            warnings.simplefilter("ignore")
            graph = torch_pruning.DependencyGraph()
            graph.build_dependency(own, example, customized_pruners={PygLinear: pruner}, verbose=False)
            linear = torch_pruning.prune_linear_out_channels
            cut = pruner.prune_out_channels if isinstance(layer, PygLinear) else linear
            graph.get_pruning_group(layer, cut, [1]).prune()
        kept = [torch.ones(one.channels, dtype=torch.bool) for one in groups]
        kept[number][1] = False
        ours, theirs = slice_state(model.state_dict(), groups, kept), own.state_dict()
        assert [tensor for tensor in ours if not torch.equal(ours[tensor], theirs[tensor])] == []


def refusal(model: nn.Module, example: tuple[Any, ...], sparsity: float = 0.5) -> str:
    with pytest.raises(SettingError) as caught:
        compress(model, Structured(sparsity), example=example)
    return str(caught.value)


def test_a_layer_whose_numbers_depend_on_how_wide_it_is_is_refused_by_name() -> None:
    model = Between(pyg.TransformerConv(6, 6, heads=2), edges=False)
    assert refusal(model, (*foreign_model("gcn")[1], torch.rand(60, 2))) == (
        "layer 'second' (TransformerConv) gives something else without the channels that would be removed than with "
        "zeros in their place; TransformerConv has no rule of channels; add one with "
        "@gnn.layers.rules.channels.register(TransformerConv)"
    )


class Fixed(ResidualGcn):
    """A forward pass that says how wide its tensors are."""

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        """Logits of graphs."""
        hidden = self.first(x, edge_index).view(-1, 3, 4)
        return self.out(global_add_pool(hidden.reshape(-1, 12), batch).repeat(1, 2))


def test_a_width_that_is_written_down_is_refused_by_name() -> None:
    sentence = refusal(Fixed(), foreign_model("residual-gcn")[1], 0.2)
    assert sentence.startswith("Fixed itself does not run without the channels that would be removed: RuntimeError:")
    assert sentence.endswith("add one with @gnn.layers.rules.channels.register(Fixed)")


def test_an_example_that_does_not_fit_is_refused_by_the_layer_that_raised() -> None:
    model, (x, *others) = foreign_model("residual-gcn")
    assert refusal(model, (x[:, :3], *others)) == (
        "layer 'first.lin' (Linear) does not run on the example: RuntimeError: mat1 and mat2 shapes cannot be "
        "multiplied (20x3 and 7x12)"
    )
    assert refusal(model, (x,)).startswith("ResidualGcn itself does not run on the example: TypeError: ")


def test_a_model_without_hidden_channels_is_refused() -> None:
    linear, x = nn.Linear(3, 2), torch.rand(4, 3)
    assert refusal(linear, (x,)) == "nothing can be removed: inputs and outputs have all channels"
    model = nn.Sequential(nn.Linear(3, 5), nn.Softmax(dim=-1), nn.Linear(5, 2))
    assert refusal(model, (x,)) == (
        "nothing can be removed: 1: channels are not followed through '_softmax'; Softmax has no rule of channels; add "
        "one with @gnn.layers.rules.channels.register(Softmax)"
    )


class Unusual(nn.Module):
    """Control flow that depends on data, a layer that is used twice, weights read by others, and a layer left out."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.twice, self.read = nn.Linear(FEATURES, 6), nn.Linear(6, 6), nn.Linear(6, 8, bias=False)
        self.left_out, self.lstm, self.out = nn.Linear(6, 6), nn.LSTM(8, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of nodes."""
        hidden = self.first(x)
        if hidden.sum() > 1e9:
            hidden = self.left_out(hidden)
        hidden = torch.relu(self.twice(torch.relu(self.twice(hidden))))
        return self.out(self.lstm(hidden @ self.read.weight.t())[0])


def test_what_a_pass_does_not_tell_is_listed_with_a_reason() -> None:
    model, example = Unusual().eval(), (torch.randn(NODES, FEATURES),)
    traced = trace(model, example)
    assert [group.name for group in traced.groups] == ["first"]
    assert {part.tensor for part in traced.groups[0].slices} == {
        *("first.weight", "first.bias", "twice.weight", "twice.bias", "read.weight")
    }
    assert sorted(traced.untouched) == ["left_out", "lstm"]
    assert traced.untouched["left_out"] == "Linear was not reached by the example"
    assert traced.untouched["lstm"].endswith("add one with @gnn.layers.rules.channels.register(LSTM)")
    assert compress(model, Structured(0.2), example=example).model.read.in_features < 6


class Opaque(nn.Linear):
    """A layer that nobody can look into."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """By numpy."""
        return torch.from_numpy(input.numpy() @ self.weight.numpy().T + self.bias.numpy())


def test_a_rule_tells_of_a_layer_that_cannot_be_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    known: Rules[Callable[[Any], Channels]] = Rules("channels")
    monkeypatch.setattr("gnn.compression.channel_trace.channels", known)
    model, example = nn.Sequential(nn.Linear(4, 6), Opaque(6, 5), nn.Linear(5, 2)), (torch.rand(7, 4),)
    traced = trace(model, example)
    assert traced.groups == ()
    assert list(traced.untouched) == ["1"]
    known.register(Opaque)(lambda _: Channels((Axis("weight", 1),), (Axis("weight"), Axis("bias"))))
    groups = trace(model, example).groups
    assert [(group.name, group.channels) for group in groups] == [("0", 6), ("1", 5)]
    assert compress(model, Structured(0.4), example=example).model[1].out_features < 5


def test_twenty_layers_are_traced_and_narrowed() -> None:
    model, example = pyg.models.GCN(16, 64, 20, 7).eval(), (torch.randn(50, 16), torch.randint(0, 50, (2, 200)))
    model(*example)
    before = time.process_time()
    traced = trace(model, example)
    narrow_model(model, traced, some_of(traced.groups), lambda module: module(*example))
    print(f"20 layers of 64 channels: {1e3 * (time.process_time() - before):.0f} ms")
    assert [group.channels for group in traced.groups] == [64] * 19
