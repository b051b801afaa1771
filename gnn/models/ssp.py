"""SSP, a graph convolutional network trained with natural gradients, compared by the paper on Cora."""

from gnn.layers import NormalizedAdjacency
from gnn.layers.row_sums import rows_with_sum_one
from gnn.models.graphconv import GraphConvInputs, GraphConvNet
from gnn.models.node_classifier_settings import NodeClassifierSettings
from gnn.models.registry import MODELS, RegisteredModel
from gnn.tasks import NodeClassification
from gnn.training_settings import KroneckerPreconditioning, Recipe, TrainingSettings


class SspNet(GraphConvNet):
    """The net of `GraphConvNet` on the graph with self-loops; what is new about it is how it is trained.

    h = ReLU(A_hat x W1 + b1), logits = A_hat dropout(h) W2 + b2, with A_hat = D^-1/2 (A + I) D^-1/2; its gradients
    are preconditioned (`gnn.preconditioning`).

    Source: Izadi, Fang, Stevenson and Lin, Optimization of Graph Neural Networks with Natural Gradient Descent
    (arXiv 2008.09624); russellizadi/ssp, experiments/gcn.py. 23,063 parameters on Cora.
    Shapes: logits [nodes, out_channels].
    """

    def prepare(self, task: NodeClassification) -> GraphConvInputs:
        """Divide each row of features by its sum and normalise the adjacency once."""
        graph = task.graph
        adjacency = NormalizedAdjacency(graph.edge_index, graph.features.shape[0])
        return GraphConvInputs(rows_with_sum_one(graph.features), adjacency)


PRECONDITIONING = KroneckerPreconditioning(damping=0.1, update_every=50)

MODELS.add(
    "ssp",
    RegisteredModel(
        build=SspNet,
        settings_class=NodeClassifierSettings,
        task_kinds=("node-classification",),
        recipe=Recipe(
            training=TrainingSettings(
                learning_rate=0.01,
                weight_decay=5e-4,
                epochs=400,
                patience=100,
                most_epochs=1600,
                preconditioner=PRECONDITIONING,
            ),
            fine_tuning=TrainingSettings(
                learning_rate=0.01, weight_decay=5e-4, epochs=30, patience=30, preconditioner=PRECONDITIONING
            ),
        ),
    ),
)
