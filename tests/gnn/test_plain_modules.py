"""A module that knows nothing of tasks is called as its forward pass asks, or as its owner says."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GCNConv
from torch_geometric.nn.models import GCN

import gnn
from gnn.determinism import deterministic
from gnn.errors import SettingError
from gnn.tasks import GivenTask
from tests.gnn.given_graphs import CHANNELS, CLASSES, NODES, logits_of, some_graph, some_graphs

NODES_TASK = gnn.node_task("papers", some_graph())
LINKS_TASK = gnn.link_task("links", some_graph())
GRAPHS_TASK = gnn.graph_task("molecules", some_graphs())


class TakesData(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = GCNConv(CHANNELS, CLASSES)

    def forward(self, graph: Data) -> Tensor:
        return self.conv(graph.x, graph.edge_index)


class TakesMore(TakesData):
    def forward(self, x: Tensor, edge_index: Tensor, time: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return self.conv(x, edge_index) * time


class TakesWeights(TakesData):
    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor, *, num_nodes: int = 0) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        assert num_nodes == NODES
        return self.conv(x, edge_index, edge_weight)


def test_a_forward_pass_gets_what_it_names_or_the_data_itself() -> None:
    weighted, plain = some_graph(), some_graph()
    del plain.edge_weight
    task, with_weights = gnn.node_task("papers", plain).at(0), gnn.node_task("papers", weighted).at(0)
    with deterministic(0):
        whole, named = TakesData(), TakesWeights()
    named.load_state_dict(whole.state_dict())
    assert torch.equal(logits_of(whole, task), logits_of(whole, with_weights))
    assert not torch.allclose(logits_of(named, with_weights), logits_of(whole, task))
    weighted.edge_weight.fill_(1.0)
    ones = gnn.node_task("papers", weighted).at(0)
    torch.testing.assert_close(logits_of(named, ones), logits_of(whole, task))


@pytest.mark.parametrize(
    ("task", "module", "sentence"),
    [
        (NODES_TASK, TakesMore, "TakesMore.forward needs 'time', which the data of papers does not have (it has edge_"),
        (
            NODES_TASK,
            lambda: GCN(CHANNELS, 8, 2, 4),
            "GCN gives a tensor of shape [60, 4] for 60 nodes of papers, which needs [60, 3]",
        ),
        (GRAPHS_TASK, lambda: GCN(CHANNELS, 8, 2, 2), "GCN gives a tensor of shape ["),
        (
            LINKS_TASK,
            lambda: nn.Sequential(nn.Identity()),
            "Sequential gives Data for 60 nodes of links, whose links need",
        ),
    ],
)
def test_outputs_of_another_shape_and_missing_inputs_are_named(
    task: GivenTask, module: Callable[[], nn.Module], sentence: str
) -> None:
    with pytest.raises(SettingError) as caught:
        logits_of(module(), task.at(0))
    assert str(caught.value).startswith(sentence)


def test_a_decoder_of_the_modules_own_tells_links() -> None:
    class WithDecoder(GCN):
        def decode(self, embedding: Tensor, pairs: Tensor) -> Tensor:
            return (embedding[pairs[0]] - embedding[pairs[1]]).square().sum(1, keepdim=True)

    task: Any = LINKS_TASK.at(0)
    module = WithDecoder(CHANNELS, 8, 2, 4)
    data = task.pyg()
    embedding = module.eval()(data.x, data.edge_index, data.edge_weight)
    expected = module.decode(embedding, task.links("test").pairs)[:, 0]
    torch.testing.assert_close(logits_of(module, task), expected)
