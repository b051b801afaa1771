"""Classify the papers of Cora by their words and citations."""

import torch

from gnn.tasks.cora import CORA, load_cora
from gnn.tasks.node_classification import Graph, NodeClassification, Split
from gnn.tasks.registry import TaskRequest, register_task


@register_task("cora-node", CORA)
def load_cora_node(request: TaskRequest) -> NodeClassification:
    """Cora with 1,708 training, 500 validation and 500 test nodes, by index; the same in both protocols.

    Source: the paper trains SplineNet as PyG's examples/cora.py does; features are binary words, not
    normalised. Shapes: features [2708, 1433], edge_index [2, 10556], 7 classes.
    """
    tensors = load_cora(request.source, request.store)
    train, validation, test = torch.arange(tensors.shape[0]).split([tensors.shape[0] - 1000, 500, 500])
    return NodeClassification(
        name=request.name,
        source=request.source.kind,
        protocol="clean",
        graph=Graph(tensors.features, tensors.edge_index, tensors.labels),
        split=Split(train, validation, test),
        classes=int(tensors.labels.max()) + 1,
    )
