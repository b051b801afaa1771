"""GCNConv of PyTorch Geometric, one of the node classifiers that the paper compares on Cora."""

from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional

from gnn.layers import CsrMatrix
from gnn.layers.row_sums import rows_with_sum_one
from gnn.models.families import NodeClassifier
from gnn.models.node_classifier_settings import NodeClassifierSettings
from gnn.models.registry import MODELS, RegisteredModel
from gnn.tasks import NodeClassification
from gnn.tasks.edge_order import by_target
from gnn.training_settings import Recipe, TrainingSettings


@dataclass(frozen=True, eq=False)
class GcnInputs:
    """Sparse features [nodes, in_channels]; edges [2, edges] with self-loops, and their weights [edges]."""

    features: CsrMatrix
    edge_index: Tensor
    edge_weight: Tensor


class Gcn(NodeClassifier):
    """Two GCNConv layers with dropout before each and a ReLU between them.

    h = ReLU(A_hat dropout(x) W1 + b1), logits = A_hat dropout(h) W2 + b2, with A_hat = D^-1/2 (A + I) D^-1/2.

    Source: PyG, examples/gcn.py (Kipf and Welling, arXiv 1609.02907), with weight decay on both layers. 23,063
    parameters on Cora: 1433 * 16 + 16 and 16 * 7 + 7. The paper's 0.712 comes without its split; the accuracy here is
    higher because 1,708 nodes are learned from, as by SplineNet.
    Shapes: logits [nodes, out_channels].
    """

    def __init__(self, settings: NodeClassifierSettings) -> None:
        # PyG takes seconds to import, so only who builds this model pays for it.
        from torch_geometric.nn import GCNConv  # noqa: PLC0415

        super().__init__()
        self.settings = settings
        self.conv1 = GCNConv(settings.in_channels, settings.hidden_channels, normalize=False)
        self.conv2 = GCNConv(settings.hidden_channels, settings.out_channels, normalize=False)

    def settle(self) -> None:
        """Read the width off the first layer."""
        self.settings = replace(self.settings, hidden_channels=cast("Tensor", self.conv1.bias).numel())

    def prepare(self, task: NodeClassification) -> GcnInputs:
        """Divide each row of features by its sum and weigh the edges once, for both layers."""
        from torch_geometric.nn.conv.gcn_conv import gcn_norm  # noqa: PLC0415

        features = rows_with_sum_one(task.graph.features)
        edges = by_target(task.graph.edge_index, features.shape[0])
        edge_index, edge_weight = gcn_norm(edges, num_nodes=features.shape[0], dtype=torch.float32)
        return GcnInputs(features, cast("Tensor", edge_index), cast("Tensor", edge_weight))

    def forward(self, inputs: GcnInputs) -> Tensor:
        """Logits of every node; dropout draws only for the words that are there, GCNConv then takes all of them."""
        dropout = self.settings.dropout
        features = inputs.features
        features = features.with_value(functional.dropout(features.value, dropout, self.training)).to_dense()
        hidden = functional.relu(self.conv1(features, inputs.edge_index, inputs.edge_weight))
        hidden = functional.dropout(hidden, dropout, self.training)
        return self.conv2(hidden, inputs.edge_index, inputs.edge_weight)


MODELS.add(
    "gcn",
    RegisteredModel(
        build=Gcn,
        settings_class=NodeClassifierSettings,
        task_kinds=("node-classification",),
        recipe=Recipe(
            training=TrainingSettings(
                learning_rate=0.01, weight_decay=1e-4, epochs=400, patience=100, most_epochs=1600
            ),
            fine_tuning=TrainingSettings(learning_rate=0.01, weight_decay=1e-4, epochs=30, patience=30),
        ),
    ),
)
