"""SplineNet, the paper's node classifier for Cora."""

from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from gnn.errors import SettingError
from gnn.layers import CsrMatrix, SplineConvolution
from gnn.models.families import NodeClassifier
from gnn.models.kept_features import keep_features, new_feature_mask, require_kept_features
from gnn.models.registry import MODELS, RegisteredModel
from gnn.tasks import NodeClassification, Task
from gnn.training_settings import Recipe, TrainingSettings


@dataclass(frozen=True)
class SplineNetSettings:
    """Sizes of SplineNet; the defaults are those of the paper's Table 3. Raises `SettingError` for bad ones.

    `kept_features` is how many of the `in_channels` input features the model looks at, None for all of them.
    """

    in_channels: int
    out_channels: int
    hidden_channels: int = 16
    kernel_size: int = 2
    dropout: float = 0.5
    kept_features: int | None = None

    def __post_init__(self) -> None:
        sizes = (self.in_channels, self.out_channels, self.hidden_channels, self.kernel_size)
        if not all(isinstance(size, int) and size >= 1 for size in sizes) or self.kernel_size < 2:
            raise SettingError(
                f"sizes of SplineNet must be whole numbers from 1 on, kernel_size from 2 on; they are {asdict(self)}"
            )
        if not 0 <= self.dropout < 1:
            raise SettingError(
                f"dropout {self.dropout} is outside [0, 1); give the share of inputs to drop, such as 0.5"
            )
        require_kept_features(self.kept_features, self.in_channels)

    @property
    def used_features(self) -> int:
        """Input channels of the first layer."""
        return self.in_channels if self.kept_features is None else self.kept_features

    @classmethod
    def for_task(cls, task: Task) -> "SplineNetSettings":
        """The sizes that fit the features and classes of a task."""
        return cls(in_channels=task.feature_count, out_channels=task.output_count)


@dataclass(frozen=True, eq=False)
class SplineInputs:
    """Sparse features [nodes, used features] and each layer's aggregation operator (the same for both)."""

    features: CsrMatrix
    operator: CsrMatrix


class SplineNet(NodeClassifier):
    """Two spline convolutions of degree 1 over one pseudo-coordinate, with an ELU between them.

    h = ELU(SplineConv(dropout(x))), logits = SplineConv(dropout(h)); the pseudo-coordinate of an edge is
    the in-degree of its target divided by the largest in-degree (PyG's TargetIndegree).

    Source: the paper, Table 3 (69,143 parameters on Cora: 2 * 1433 * 16 + 1433 * 16 + 16 in the first layer,
    2 * 16 * 7 + 16 * 7 + 7 in the second); PyG, examples/cora.py.
    The buffer `kept_features` [in_channels] names the input features that are used; it is there only when the
    settings say how many.
    Shapes: logits [nodes, out_channels].
    """

    kept_features: Tensor | None

    def __init__(self, settings: SplineNetSettings) -> None:
        super().__init__()
        self.settings = settings
        kernel_size = [settings.kernel_size]
        self.register_buffer("kept_features", new_feature_mask(settings.kept_features, settings.in_channels))
        self.conv1 = SplineConvolution(settings.used_features, settings.hidden_channels, kernel_size)
        self.conv2 = SplineConvolution(settings.hidden_channels, settings.out_channels, kernel_size)

    def settle(self) -> None:
        """Read the widths off the first layer."""
        _, words, hidden = self.conv1.weight.shape
        kept = None if self.kept_features is None else words
        self.settings = replace(self.settings, kept_features=kept, hidden_channels=hidden)

    def prepare(self, task: NodeClassification) -> SplineInputs:
        """Drop unused features and build the aggregation operator of the graph once."""
        graph = task.graph
        operator = self.conv1.operator(graph.edge_index, target_indegree(graph.edge_index), graph.features.shape[0])
        features = keep_features(graph.features, self.kept_features, self.settings.used_features)
        return SplineInputs(features, operator)

    def forward(self, inputs: SplineInputs) -> Tensor:
        """Logits of every node; dropout on sparse features draws only for the entries that are there."""
        features, dropout = inputs.features, self.settings.dropout
        if self.training:
            features = features.with_value(functional.dropout(features.value, dropout))
        hidden = functional.elu(self.conv1(features, inputs.operator))
        hidden = functional.dropout(hidden, dropout, self.training)
        return self.conv2(hidden, inputs.operator)


def target_indegree(edge_index: Tensor) -> Tensor:
    """In-degree of each edge's target over the largest one, edge_index [2, edges] -> [edges, 1] in (0, 1]."""
    target = edge_index[1]
    in_degree = torch.bincount(target, minlength=1).to(torch.get_default_dtype())
    return (in_degree[target] / in_degree.max().clamp(min=1))[:, None]


MODELS.add(
    "spline",
    RegisteredModel(
        build=SplineNet,
        settings_class=SplineNetSettings,
        task_kinds=("node-classification",),
        recipe=Recipe(
            training=TrainingSettings(
                learning_rate=0.01, weight_decay=5e-3, epochs=200, patience=100, most_epochs=1600
            ),
            fine_tuning=TrainingSettings(learning_rate=0.01, weight_decay=5e-3, epochs=30, patience=30),
        ),
    ),
)
