"""What the classifiers of graphs that the paper compares have in common: PyG's convolutions, a mean, a linear layer."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

from gnn.layers.feature_scaling import scale_features
from gnn.models.families import GraphClassifier
from gnn.models.graph_classifier_settings import GraphClassifierSettings
from gnn.tasks import GraphBatch
from gnn.training_settings import Recipe, TrainingSettings


@dataclass(frozen=True)
class ReadoutNetSettings(GraphClassifierSettings):
    """Sizes of a compared classifier: two layers, as the paper says of GCN. Raises `SettingError` for bad ones."""

    hidden_channels: int = 64
    layers: int = 2
    feature_scaling: str = "asinh"


class ReadoutNet(GraphClassifier):
    """Convolutions with a ReLU each, the mean over nodes, and a linear classifier.

    h = ReLU(convolution(h)) for each layer, logits = classifier(dropout(mean over nodes of h)).

    Source: the paper, Section 2.3 and Table 4, which name the layers only. Shapes: logits [graphs, out_channels].
    """

    def __init__(self, settings: ReadoutNetSettings, new_convolution: Callable[[int, int], nn.Module]) -> None:
        super().__init__()
        self.settings = settings
        self.convolutions = nn.ModuleList(new_convolution(*widths) for widths in settings.widths)
        self.classifier = nn.Linear(settings.hidden_channels, settings.out_channels)

    def convolve(self, convolution: nn.Module, hidden: Tensor, batch: GraphBatch) -> Tensor:
        """One convolution over the edges of the batch."""
        return convolution(hidden, batch.sorted_edges)

    def forward(self, batch: GraphBatch) -> Tensor:
        """Logits of every graph of the batch."""
        hidden = scale_features(batch.features, self.settings.feature_scaling)
        for convolution in self.convolutions:
            hidden = functional.relu(self.convolve(convolution, hidden, batch))
        mean = batch.node_mean @ hidden
        return self.classifier(functional.dropout(mean, self.settings.dropout, self.training))


READOUT_RECIPE = Recipe(
    training=TrainingSettings(
        learning_rate=0.01, weight_decay=2e-4, epochs=60, patience=30, batch_size=128, most_epochs=480
    ),
    fine_tuning=TrainingSettings(learning_rate=1e-3, weight_decay=2e-4, epochs=15, patience=15, batch_size=128),
)
