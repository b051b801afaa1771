"""GIN and GNNNet equal the nets of PyG's layers, and treat graphs as graphs."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.nn import GCNConv, GINConv, global_max_pool, global_mean_pool

from gnn.models import GraphClassifier
from gnn.models.gin import Gin, GinSettings
from gnn.models.gnnnet import GnnNet, GnnNetSettings
from gnn.tasks import GraphBatch
from tests.gnn.random_graphs import batch_of

PROPERTY = settings(deadline=None, max_examples=15, derandomize=True)
NAMES = ("gin", "gnnnet")
SIZES = st.lists(st.integers(1, 7), min_size=2, max_size=5)


class GinFromPyG(nn.Module):
    def __init__(self, model: Gin) -> None:
        super().__init__()
        # GINConv draws the weights of what it is given anew, so it gets a net of its own.
        own = Gin(model.settings)
        self.layers = nn.ModuleList(GINConv(layer.nn) for layer in own.convs)  # pyright: ignore
        own.load_state_dict(model.state_dict())
        self.lin1, self.lin2, self.dropout = own.lin1, own.lin2, model.settings.dropout

    def forward(self, batch: GraphBatch) -> Tensor:
        hidden = batch.features
        for layer in self.layers:
            hidden = layer(hidden, batch.edge_index)
        hidden = functional.relu(self.lin1(global_mean_pool(hidden, batch.graph_of_node)))
        return self.lin2(functional.dropout(hidden, self.dropout, self.training))


class GnnNetFromPyG(nn.Module):
    def __init__(self, model: GnnNet) -> None:
        super().__init__()
        self.layers = nn.ModuleList(GCNConv(*widths) for widths in model.settings.widths)
        self.layers.load_state_dict(model.gnn_layers.state_dict())
        self.mlp = nn.Linear(model.settings.hidden_channels, model.settings.out_channels)
        self.mlp.load_state_dict(model.mlps[0].state_dict())

    def forward(self, batch: GraphBatch) -> Tensor:
        hidden = batch.features
        for layer in self.layers:
            hidden = functional.elu(layer(hidden, batch.edge_index))
        return self.mlp(global_max_pool(hidden, batch.graph_of_node))


def new_model(name: str, channels: int = 4) -> GraphClassifier:
    """A small model whose biases and running statistics matter, in evaluation mode and double precision."""
    with torch.random.fork_rng():
        torch.manual_seed(7)
        if name == "gin":
            model = Gin(GinSettings(channels, 2, hidden_channels=6, layers=3, feature_scaling="none"))
        else:
            model = GnnNet(GnnNetSettings(channels, 2, hidden_channels=6))
        for parameter in model.parameters():
            nn.init.normal_(parameter, std=0.7)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm1d):
                assert module.running_mean is not None
                assert module.running_var is not None
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2.0)
    return model.eval()


def outputs_and_gradients(model: nn.Module, batch: GraphBatch) -> tuple[Tensor, Tensor, list[Tensor]]:
    features = batch.features.clone().requires_grad_()
    torch.manual_seed(3)
    logits = model(GraphBatch(features, batch.edge_index, batch.node_pointer, batch.labels))
    functional.cross_entropy(logits, batch.labels).backward()
    gradients = [parameter.grad for parameter in model.parameters()]
    assert features.grad is not None
    assert all(gradient is not None for gradient in gradients)
    return logits, features.grad, gradients  # pyright: ignore[reportReturnType]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("name", "from_pyg"), [("gin", GinFromPyG), ("gnnnet", GnnNetFromPyG)])
@PROPERTY
@given(sizes=SIZES, edges=st.sampled_from([0.0, 1.0, 3.0]), seed=st.integers(0, 999))
def test_outputs_and_gradients_are_those_of_pyg(
    name: str, from_pyg: Callable[[Any], nn.Module], training: bool, sizes: list[int], edges: float, seed: int
) -> None:
    model = new_model(name)
    reference = from_pyg(model).train(training)
    batch = batch_of(sizes, edges, seed)
    ours, theirs = outputs_and_gradients(model.train(training), batch), outputs_and_gradients(reference, batch)
    torch.testing.assert_close(ours[:2], theirs[:2], rtol=1e-4, atol=1e-5)
    for gradient, expected in zip(ours[2], theirs[2], strict=True):
        torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_every_edge_twice_is_another_graph(name: str) -> None:
    model, batch = new_model(name), batch_of([5, 6])
    twice = GraphBatch(batch.features, batch.edge_index.repeat_interleave(2, dim=1), batch.node_pointer, batch.labels)
    assert not torch.allclose(model(twice), model(batch), atol=1e-3)
