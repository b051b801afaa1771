"""GraphConv of the Deep Graph Library, one of the node classifiers that the paper compares on Cora."""

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from gnn.layers import CsrMatrix, GraphConvolution, NormalizedAdjacency
from gnn.layers.row_sums import rows_with_sum_one
from gnn.models.families import NodeClassifier
from gnn.models.node_classifier_settings import NodeClassifierSettings
from gnn.models.registry import MODELS, RegisteredModel
from gnn.tasks import NodeClassification
from gnn.training_settings import Recipe, TrainingSettings


@dataclass(frozen=True, eq=False)
class GraphConvInputs:
    """Sparse features [nodes, in_channels] and the normalised adjacency."""

    features: CsrMatrix
    adjacency: NormalizedAdjacency


class GraphConvNet(NodeClassifier):
    """Two graph convolutions without self-loops, with a ReLU and dropout between them.

    h = ReLU(A_hat x W1 + b1), logits = A_hat dropout(h) W2 + b2, with A_hat = D_in^-1/2 A D_out^-1/2 and degrees of at
    least 1; a node that nobody points at gets its bias alone.

    Source: DGL's GraphConv with norm="both" and weights initialised as there (Glorot, biases zero), in the net of its
    examples/pytorch/gcn. 23,063 parameters on Cora: 1433 * 16 + 16 and 16 * 7 + 7.
    Shapes: logits [nodes, out_channels].
    """

    def __init__(self, settings: NodeClassifierSettings) -> None:
        super().__init__()
        self.settings = settings
        self.conv1 = GraphConvolution(settings.in_channels, settings.hidden_channels)
        self.conv2 = GraphConvolution(settings.hidden_channels, settings.out_channels)

    def prepare(self, task: NodeClassification) -> GraphConvInputs:
        """Divide each row of features by its sum and normalise the adjacency once."""
        graph = task.graph
        adjacency = NormalizedAdjacency(graph.edge_index, graph.features.shape[0], self_loops=False)
        return GraphConvInputs(rows_with_sum_one(graph.features), adjacency)

    def forward(self, inputs: GraphConvInputs) -> Tensor:
        """Logits of every node."""
        hidden = functional.relu(self.conv1(inputs.features, inputs.adjacency))
        return self.conv2(functional.dropout(hidden, self.settings.dropout, self.training), inputs.adjacency)


MODELS.add(
    "graphconv",
    RegisteredModel(
        build=GraphConvNet,
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
