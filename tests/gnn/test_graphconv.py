"""The net of GraphConv layers is the formula of DGL; see also test_citation_models."""

import torch
from torch import Tensor
from torch.nn import functional

from gnn.models.graphconv import GraphConvNet
from gnn.tasks import NodeClassification
from tests.gnn.citation_checks import NO_EDGES, new_model, of_all, with_messages


def dense_logits(model: GraphConvNet, task: NodeClassification) -> Tensor:
    """The formula of DGL's GraphConv with norm="both", with dense matrices."""
    graph = task.graph
    adjacency = torch.zeros(210, 210).index_put((graph.edge_index[1], graph.edge_index[0]), torch.ones(1), True)
    in_degree, out_degree = adjacency.sum(1).clamp(min=1), adjacency.sum(0).clamp(min=1)
    operator = adjacency / (in_degree.sqrt()[:, None] * out_degree.sqrt()[None])
    words = graph.features.to_dense()
    hidden = words / words.sum(1, keepdim=True).clamp(min=1)
    state = model.state_dict()
    hidden = functional.relu(operator @ hidden @ state["conv1.lin.weight"].t() + state["conv1.bias"])
    return operator @ hidden @ state["conv2.lin.weight"].t() + state["conv2.bias"]


def test_forward_is_the_formula_on_directed_and_doubled_edges(small_task: NodeClassification) -> None:
    model = new_model("graphconv", small_task)
    assert isinstance(model, GraphConvNet)
    edge_index = small_task.graph.edge_index
    for messages in (edge_index, NO_EDGES, edge_index[:, ::3], torch.cat([edge_index, edge_index[:, :50]], dim=1)):
        task = with_messages(small_task, messages)
        assert isinstance(task, NodeClassification)
        torch.testing.assert_close(of_all(model, task), dense_logits(model, task), rtol=0, atol=1e-5)
