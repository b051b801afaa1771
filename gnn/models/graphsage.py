"""GraphSAGE, one of the link predictors that the paper compares on Cora."""

from dataclasses import asdict, dataclass

import torch
from torch import Tensor
from torch.nn import functional

from gnn.errors import SettingError
from gnn.layers import CsrMatrix
from gnn.models.families import LinkPredictor
from gnn.models.registry import MODELS, RegisteredModel
from gnn.tasks import LinkPrediction, Task
from gnn.training_settings import Recipe, TrainingSettings


@dataclass(frozen=True)
class GraphSageSettings:
    """Sizes of GraphSAGE; raises `SettingError` for bad ones."""

    in_channels: int
    channels: int = 64
    dropout: float = 0.5

    def __post_init__(self) -> None:
        if not all(isinstance(size, int) and size >= 1 for size in (self.in_channels, self.channels)):
            raise SettingError(f"sizes of GraphSage must be whole numbers from 1 on; they are {asdict(self)}")
        if not 0 <= self.dropout < 1:
            raise SettingError(
                f"dropout {self.dropout} is outside [0, 1); give the share of inputs to drop, such as 0.5"
            )

    @classmethod
    def for_task(cls, task: Task) -> "GraphSageSettings":
        """The sizes that fit the features of a task."""
        return cls(in_channels=task.feature_count)


@dataclass(frozen=True, eq=False)
class GraphSageInputs:
    """Dense features and their means over neighbours, [nodes, in_channels]; edges, and one self-loop per node."""

    features: Tensor
    neighbour_means: Tensor
    edge_index: Tensor
    self_loops: Tensor


class GraphSage(LinkPredictor):
    """Two SAGEConv layers with a ReLU and dropout between them; a pair's logit is the inner product of its nodes.

    h_i = ReLU(W1 mean_j x_j + b1 + V1 x_i), z_i = W2 mean_j h_j + b2 + V2 h_i, with j over the neighbours of i.

    Source: Hamilton, Ying and Leskovec, Inductive Representation Learning on Large Graphs (arXiv 1706.02216), in PyG's
    SAGEConv with its default mean. 191,744 parameters on Cora: 2 * 1433 * 64 + 64 and 2 * 64 * 64 + 64.
    Shapes: embedding [nodes, channels].
    """

    def __init__(self, settings: GraphSageSettings) -> None:
        # PyG takes seconds to import, so only who builds this model pays for it.
        from torch_geometric.nn import SAGEConv  # noqa: PLC0415

        super().__init__()
        self.settings = settings
        self.conv1 = SAGEConv(settings.in_channels, settings.channels)
        self.conv2 = SAGEConv(settings.channels, settings.channels)

    def prepare(self, task: LinkPrediction) -> GraphSageInputs:
        """Average the features of each node's neighbours once: they are 1433 wide, and the same in every pass."""
        features, (source, target) = task.features.to_dense(), task.edge_index
        weight = torch.bincount(target, minlength=task.nodes)[target].reciprocal()
        means = CsrMatrix.from_coordinates(target, source, weight, (task.nodes, task.nodes)) @ features
        self_loops = torch.arange(task.nodes, device=features.device).expand(2, -1)
        return GraphSageInputs(features, means, task.edge_index, self_loops)

    def forward(self, inputs: GraphSageInputs) -> Tensor:
        """Embeddings of all nodes; to the first layer, the mean of a node's neighbours is its only neighbour."""
        hidden = functional.relu(self.conv1((inputs.neighbour_means, inputs.features), inputs.self_loops))
        return self.conv2(functional.dropout(hidden, self.settings.dropout, self.training), inputs.edge_index)


MODELS.add(
    "graphsage",
    RegisteredModel(
        build=GraphSage,
        settings_class=GraphSageSettings,
        task_kinds=("link-prediction",),
        recipe=Recipe(
            training=TrainingSettings(learning_rate=0.01, weight_decay=0.0, epochs=400, patience=100, most_epochs=1600),
            fine_tuning=TrainingSettings(learning_rate=0.01, weight_decay=0.0, epochs=30, patience=30),
        ),
    ),
)
