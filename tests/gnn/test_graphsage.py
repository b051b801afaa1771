"""GraphSAGE is PyG's net of SAGEConv layers; see also test_citation_models."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torch_geometric.nn import SAGEConv

from gnn.models.graphsage import GraphSage
from gnn.tasks import LinkPrediction
from tests.gnn.citation_checks import NO_EDGES, link_task, new_model, of_all


@pytest.fixture(scope="module")
def task() -> LinkPrediction:
    return link_task()


def from_pyg(model: GraphSage, task: LinkPrediction) -> Tensor:
    """Both layers on the edges themselves."""
    layers = [SAGEConv(40, 64), SAGEConv(64, 64)]
    for layer, own in zip(layers, (model.conv1, model.conv2), strict=True):
        layer.load_state_dict(own.state_dict())
    hidden = functional.relu(layers[0](task.features.to_dense(), task.edge_index))
    return layers[1](hidden, task.edge_index)


@pytest.mark.parametrize("messages", ["both", "one direction", "doubled", "none"])
def test_forward_is_pygs_net_on_the_edges(task: LinkPrediction, messages: str) -> None:
    edges = task.edge_index
    chosen = {
        "both": edges,
        "one direction": edges[:, :80],
        "doubled": torch.cat([edges, edges[:, :30], edges[:, :9]], dim=1),
        "none": NO_EDGES,
    }
    other = link_task(chosen[messages])
    model = new_model("graphsage", other)
    assert isinstance(model, GraphSage)
    torch.testing.assert_close(of_all(model, other), from_pyg(model, other), rtol=1e-5, atol=1e-5)
