"""Predict citations of Cora that were hidden."""

import torch
from torch import Tensor

from gnn.layers.row_sums import rows_with_sum_one
from gnn.tasks.cora import CORA, load_cora
from gnn.tasks.link_prediction import LinkPrediction
from gnn.tasks.link_splits import random_links
from gnn.tasks.registry import TaskRequest, register_task

VALIDATION_SHARE = 0.05
TEST_SHARE = 0.10


@register_task("cora-link", CORA)
def load_cora_link(request: TaskRequest) -> LinkPrediction:
    """Cora with 85% of its edges to train on, 5% to validate and 10% to test, drawn anew for every seed.

    As many pairs without an edge stand beside each part, fixed per seed; those of validation and test are no edge of
    the whole graph, those of training no training edge. Protocol "clean": messages pass over training edges only.
    Protocol "paper": over all edges, held-out ones included. Features are binary words with each row divided by its
    sum.
    Shapes: features [2708, 1433]; train.positive [2, 4488], validation.positive [2, 263], test.positive [2, 527].
    """
    tensors = load_cora(request.source, request.store)
    generator = torch.Generator().manual_seed(request.seed)
    edges = _undirected(tensors.edge_index)
    train, validation, test = random_links(edges, tensors.shape[0], (VALIDATION_SHARE, TEST_SHARE), generator)
    messages = train.positive if request.protocol == "clean" else edges
    return LinkPrediction(
        name=request.name,
        source=request.source.kind,
        protocol=request.protocol,
        features=rows_with_sum_one(tensors.features),
        edge_index=torch.cat([messages, messages.flip(0)], dim=1),
        train=train,
        validation=validation,
        test=test,
        graph_edges=tensors.edge_index.shape[1] // 2,
        classes=int(tensors.labels.max()) + 1,
    )


def _undirected(edge_index: Tensor) -> Tensor:
    """One of the two directions of every edge, [2, edges / 2]."""
    return edge_index[:, edge_index[0] < edge_index[1]]
