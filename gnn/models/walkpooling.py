"""WalkPooling, a link predictor to compare with: it classifies how random walks change when a link is added."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from gnn.errors import DatasetError, SettingError
from gnn.layers import CsrMatrix, GraphConvolution
from gnn.layers.enclosing_subgraph import EnclosingSubgraphs, enclosing_subgraphs
from gnn.layers.linked_adjacency import LinkedAdjacency
from gnn.layers.walk_pooling import WalkPooling
from gnn.models.registry import MODELS, GraphModel, RegisteredModel
from gnn.tasks import PARTS, LinkPrediction, Task
from gnn.training_settings import Recipe, TrainingSettings

EVALUATION_PAIRS = 256  # per batch when nothing is learned; bounds the memory and changes no output


@dataclass(frozen=True)
class WalkPoolingSettings:
    """Sizes of WalkPooling; the defaults are the authors', except `classifier_expansion`, which they have at 20.

    Walks have the lengths 2 to walk_length + 1. Raises `SettingError` for values out of range.
    """

    in_channels: int
    hidden_channels: int = 32
    heads: int = 2
    walk_length: int = 7
    hops: int = 2
    classifier_expansion: int = 4
    dropout: float = 0.5

    def __post_init__(self) -> None:
        sizes = {name: value for name, value in asdict(self).items() if name != "dropout"}
        if not all(isinstance(size, int) and size >= 1 for size in sizes.values()):
            raise SettingError(f"sizes of WalkPooling must be whole numbers from 1 on; they are {sizes}")
        if not 0 <= self.dropout < 1:
            raise SettingError(
                f"dropout {self.dropout} is outside [0, 1); give the share of channels to drop, such as 0.5"
            )

    @classmethod
    def for_task(cls, task: Task) -> "WalkPoolingSettings":
        """The sizes that fit the features of a task."""
        return cls(in_channels=task.feature_count)


@dataclass(frozen=True, eq=False)
class WalkPoolingInputs:
    """Sparse features [nodes, in_channels], and the enclosing subgraphs of the pairs of each part."""

    features: CsrMatrix
    subgraphs: dict[str, EnclosingSubgraphs]


class WalkPoolingNet(GraphModel):
    """Attention-weighted random walks in each pair's enclosing subgraph, with and without the pair's link.

    h0 = dropout(x) W + b for all nodes; then in the subgraph of a pair, always with its link,
    h1 = GCN(h0), h2 = GCN(dropout(relu(h1))), z = [h0, h1, h2]; f = WalkPooling(z) (see there);
    logit = MLP(BatchNorm(f)) with layers of e c, e c, e c / 2 and c channels, a ReLU after each, and dropout
    before the last, where f has c = heads (5 walk_length + 1) channels and e is `classifier_expansion`.

    Source: Pan, Shi and Dokmanic, Neural Link Prediction with Walk Pooling (arXiv 2110.04375), and their program
    (DaDaCheng/WalkPooling, src/model.py). Three things differ: h0 is learned, theirs are the raw words or an embedding
    trained beforehand without labels; e is 4 instead of 20; the loss is the cross-entropy instead of the squared error.
    A training pair's own link cannot leak: subgraphs and z are the same whether or not messages may pass over it.
    Parameters, with F = in_channels, H = hidden_channels, n = heads, w = e c: F H + H + 2 (H^2 + H) in the embedding
    and the convolutions, 2 (3 H^2 + H + n H^2 + n H) in the attention, 2 c + (c w + w) + (w^2 + w) +
    (w + 1) w / 2 + (w / 2 + 1) c + c + 1 in the classifier; 214,961 on Cora, of which 45,888 embed the words.
    Shapes: logits [pairs].
    """

    def __init__(self, settings: WalkPoolingSettings) -> None:
        super().__init__()
        self.settings = settings
        hidden = settings.hidden_channels
        self.embedding = nn.Linear(settings.in_channels, hidden)
        self.conv1 = GraphConvolution(hidden, hidden)
        self.conv2 = GraphConvolution(hidden, hidden)
        self.pooling = WalkPooling(3 * hidden, hidden, settings.heads, settings.walk_length, settings.dropout)
        self.classifier = pair_classifier(self.pooling.out_channels, settings.classifier_expansion, settings.dropout)

    def prepare(self, task: LinkPrediction) -> WalkPoolingInputs:
        """Cut out the subgraphs of all pairs once."""
        subgraphs = {
            part: enclosing_subgraphs(task.edge_index, task.nodes, task.links(part).pairs, self.settings.hops)
            for part in PARTS
        }
        return WalkPoolingInputs(task.features, subgraphs)

    def forward(self, features: CsrMatrix, subgraphs: EnclosingSubgraphs) -> Tensor:
        """Logits of the pairs that the subgraphs enclose."""
        return self.classify(self.embed(features), subgraphs)

    def embed(self, features: CsrMatrix) -> Tensor:
        """Project the sparse features, [nodes, hidden_channels]; dropout draws only for the entries that are there."""
        features = self.drop_words(features)
        return features @ self.embedding.weight.t().contiguous() + self.embedding.bias

    def drop_words(self, features: CsrMatrix) -> CsrMatrix:
        """The features with dropout of their entries in training."""
        if not self.training:
            return features
        return features.with_value(functional.dropout(features.value, self.settings.dropout))

    def classify(self, embedding: Tensor, subgraphs: EnclosingSubgraphs) -> Tensor:
        """Convolve inside the subgraphs, pool the walks, classify."""
        adjacency = LinkedAdjacency(subgraphs)
        h0 = embedding.index_select(0, subgraphs.node)
        h1 = self.conv1(h0, adjacency)
        h2 = self.conv2(functional.dropout(functional.relu(h1), self.settings.dropout, self.training), adjacency)
        pooled = self.pooling(torch.cat([h0, h1, h2], dim=1), subgraphs)
        return self.classifier(pooled).squeeze(1)

    def losses(self, task: LinkPrediction, inputs: WalkPoolingInputs, batch_size: int | None) -> Iterator[Tensor]:
        """The mean cross-entropy of one shuffled batch of training pairs after the other, all of about one size."""
        subgraphs, labels = inputs.subgraphs["train"], task.train.labels
        if len(labels) < 2:
            raise DatasetError(
                f"{task.name} has fewer than 2 training pairs ({len(labels)}), too few for batch normalisation; add "
                "links or pairs without one"
            )
        order = torch.randperm(len(labels)).to(labels.device)
        for batch in order.tensor_split(batch_count(len(labels), batch_size)):
            logits = self(inputs.features, subgraphs.take(batch))
            yield functional.binary_cross_entropy_with_logits(logits, labels[batch])

    def outputs(self, task: LinkPrediction, inputs: WalkPoolingInputs, part: str) -> Tensor:  # noqa: ARG002
        """Logits of the pairs of one part."""
        embedding, subgraphs = self.embed(inputs.features), inputs.subgraphs[part]
        batches = torch.arange(len(subgraphs), device=embedding.device).split(EVALUATION_PAIRS)
        return torch.cat([self.classify(embedding, subgraphs.take(batch)) for batch in batches])


def pair_classifier(channels: int, expansion: int, dropout: float) -> nn.Sequential:
    """The authors' perceptron on normalised walk features, [pairs, channels] -> [pairs, 1]."""
    wide = channels * expansion
    return nn.Sequential(
        nn.BatchNorm1d(channels),
        *(nn.Linear(channels, wide), nn.ReLU()),
        *(nn.Linear(wide, wide), nn.ReLU()),
        *(nn.Linear(wide, wide // 2), nn.ReLU()),
        *(nn.Linear(wide // 2, channels), nn.ReLU()),
        nn.Dropout(dropout),
        nn.Linear(channels, 1),
    )


def batch_count(pairs: int, batch_size: int | None) -> int:
    """Into how many batches the pairs go: no batch above `batch_size`, but two in each for batch normalisation."""
    return max(1, min(-(-pairs // (batch_size or pairs)), pairs // 2))


# Tuned on Cora's validation pairs; the authors have a learning rate of 5e-5, no weight decay, 32 pairs and 50 epochs.
MODELS.add(
    "walkpooling",
    RegisteredModel(
        build=WalkPoolingNet,
        settings_class=WalkPoolingSettings,
        task_kinds=("link-prediction",),
        recipe=Recipe(
            training=TrainingSettings(
                learning_rate=1e-3, weight_decay=1e-3, epochs=5, patience=3, batch_size=64, most_epochs=20
            ),
            fine_tuning=TrainingSettings(learning_rate=1e-3, weight_decay=1e-3, epochs=3, patience=3, batch_size=64),
        ),
    ),
)
