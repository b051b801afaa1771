"""Classify the papers of Cora by their words and citations."""

import torch

from gnn.artifacts import ArtifactStore
from gnn.layers import CsrMatrix
from gnn.tasks.cora import CORA, load_cora
from gnn.tasks.data_source import DataSource
from gnn.tasks.node_classification import Graph, NodeClassification, Split
from gnn.tasks.registry import register_task


@register_task("cora-node", CORA)
def load_cora_node(name: str, source: DataSource, protocol: str, store: ArtifactStore) -> NodeClassification:
    """Cora with 1,708 training, 500 validation and 500 test nodes, by index; the same in both protocols.

    Source: the paper trains SplineNet as PyG's examples/cora.py does; features are binary words, not
    normalised. Shapes: features [2708, 1433], edge_index [2, 10556], 7 classes.
    """
    tensors = load_cora(source, store)
    value = torch.ones(len(tensors.feature_row))
    features = CsrMatrix.from_coordinates(tensors.feature_row, tensors.feature_column, value, tensors.shape)
    train, validation, test = torch.arange(tensors.shape[0]).split([tensors.shape[0] - 1000, 500, 500])
    return NodeClassification(
        name=name,
        source=source.kind,
        protocol=protocol,
        graph=Graph(features, tensors.edge_index, tensors.labels),
        split=Split(train, validation, test),
        classes=int(tensors.labels.max()) + 1,
    )
