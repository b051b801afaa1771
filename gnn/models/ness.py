"""NESS, the paper's link predictor for Cora: a graph autoencoder that learns from static subgraphs."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from gnn.errors import SettingError
from gnn.layers import CsrMatrix
from gnn.models.families import LinkPredictor
from gnn.models.kept_features import keep_features, new_feature_mask, require_kept_features
from gnn.models.registry import MODELS, RegisteredModel
from gnn.tasks import LinkPrediction, Task
from gnn.training_settings import Recipe, TrainingSettings


@dataclass(frozen=True)
class NessSettings:
    """Encoder, partition and loss of NESS; sizes are those of the paper's Table 3.

    The edges are split into `subgraphs` parts by `partition_seed` alone, in whatever order a task is given
    them, so a model read from a file sees the parts it was trained on; only training links in another order are dealt
    out otherwise. Cora's validation pairs asked for 2 parts (NESS's config/cora.yaml has 4) and hardly mind
    `edge_dropout`. `contrastive_weight` and `temperature` are those of `contrastive_loss`. `kept_features` is
    how many of the `in_channels` input features the model looks at, None for all of them. Raises `SettingError` out of
    range.
    """

    in_channels: int
    channels: int = 32
    subgraphs: int = 2
    partition_seed: int = 0
    edge_dropout: float = 0.2
    contrastive_weight: float = 0.0
    temperature: float = 0.1
    kept_features: int | None = None

    def __post_init__(self) -> None:
        sizes = (self.in_channels, self.channels, self.subgraphs)
        if not all(isinstance(size, int) and size >= 1 for size in sizes):
            raise SettingError(
                f"in_channels, channels and subgraphs of NESS must be whole numbers from 1 on; they are {asdict(self)}"
            )
        if not 0 <= self.edge_dropout < 1:
            raise SettingError(
                f"edge_dropout {self.edge_dropout} is outside [0, 1); give the share of edges to drop, such as 0.2"
            )
        if not (self.temperature > 0 and self.contrastive_weight >= 0):
            raise SettingError(
                f"temperature {self.temperature} of NESS must be above 0, contrastive_weight {self.contrastive_weight} "
                "not below 0"
            )
        require_kept_features(self.kept_features, self.in_channels)

    @property
    def used_features(self) -> int:
        """Input channels of the encoder."""
        return self.in_channels if self.kept_features is None else self.kept_features

    @classmethod
    def for_task(cls, task: Task) -> "NessSettings":
        """The sizes that fit the features of a task."""
        return cls(in_channels=task.feature_count)


@dataclass(frozen=True, eq=False)
class SubgraphAdjacency:
    """The normalised adjacency D^-1/2 (A + I) D^-1/2 of each of several subgraphs of one graph, in one matrix.

    Row node * subgraphs + subgraph of `pattern` [nodes * subgraphs, nodes] is a node's row in a subgraph. Of every
    entry, `row` is its row, `opposite` the row that its column's node has in the same subgraph, `edge` the undirected
    edge it belongs to; self-loops belong to the number after the last edge.
    """

    pattern: CsrMatrix
    row: Tensor
    opposite: Tensor
    edge: Tensor
    edges: int

    @classmethod
    def of(cls, pairs: Tensor, part: Tensor, nodes: int, subgraphs: int) -> "SubgraphAdjacency":
        """Both directions of the undirected edges `pairs` [2, edges], each in the subgraph `part` [edges]."""
        edges, device = pairs.shape[1], pairs.device
        node = torch.arange(nodes, device=device).repeat(subgraphs)
        loop_part = torch.arange(subgraphs, device=device).repeat_interleave(nodes)
        edge = torch.cat([torch.arange(edges, device=device).repeat(2), torch.full_like(node, edges)])
        target, source = torch.cat([pairs[0], pairs[1], node]), torch.cat([pairs[1], pairs[0], node])
        parts = torch.cat([part, part, loop_part])
        row, opposite = target * subgraphs + parts, source * subgraphs + parts
        order = torch.argsort(row * nodes + source, stable=True)
        ones = torch.ones(len(row), device=device)
        pattern = CsrMatrix.from_coordinates(row[order], source[order], ones, (nodes * subgraphs, nodes))
        return cls(pattern, row[order], opposite[order], edge[order], edges)

    def normalised(self, kept: Tensor) -> CsrMatrix:
        """The matrix of the edges that `kept` [edges] has a 1 for; 0 leaves one out of its nodes' degrees too."""
        weight = torch.cat([kept, kept.new_ones(1)])[self.edge]
        scale = weight.new_zeros(self.pattern.shape[0]).index_add(0, self.row, weight).rsqrt()
        return self.pattern.with_value(weight * scale[self.row] * scale[self.opposite])


@dataclass(frozen=True, eq=False)
class NessInputs:
    """Sparse features, the subgraphs, and the adjacency of all of them: [nodes * subgraphs, nodes], and the mean."""

    features: CsrMatrix
    subgraphs: SubgraphAdjacency
    adjacency: CsrMatrix
    mean_adjacency: CsrMatrix


class Ness(LinkPredictor):
    """A graph autoencoder whose encoder sees one static subgraph at a time and has to reconstruct the whole graph.

    The edges that messages may pass over are split once into parts that share none; all parts have all nodes.
    z_k = A_k (x W) + b for subgraph k with its own normalised adjacency A_k. The loss is the mean over k of the
    cross-entropy of <z_k[i], z_k[j]> on all training edges and as many pairs without one. Asked, the embedding is the
    mean of all z_k; as z_k is linear in A_k it is computed as one product with the mean of the A_k.

    Source: Ucar, NESS (arXiv 2303.08958), section 3. 45,888 parameters (1433 * 32 + 32), the number of the paper's
    Table 3. NESS's own config/cora.yaml uses a normalised encoder (GNAE) with as many parameters, which reached a
    higher ROC-AUC on Cora's validation pairs here (.958 against .944). A contrastive loss pulls a node's embeddings of
    two subgraphs together; there is no projection network for it, which would add parameters that Table 3 does not
    have.
    The buffer `kept_features` [in_channels] names the input features that are used; it is there only when the
    settings say how many.
    Shapes: embedding [nodes, channels].
    """

    kept_features: Tensor | None

    def __init__(self, settings: NessSettings) -> None:
        super().__init__()
        self.settings = settings
        self.register_buffer("kept_features", new_feature_mask(settings.kept_features, settings.in_channels))
        self.lin = nn.Linear(settings.used_features, settings.channels)

    def settle(self) -> None:
        """Read the widths off the layer."""
        kept = None if self.kept_features is None else self.lin.in_features
        self.settings = replace(self.settings, kept_features=kept, channels=self.lin.out_features)

    def prepare(self, task: LinkPrediction) -> NessInputs:
        """Drop unused features, split the edges and normalise each part once."""
        pairs = undirected_edges(task.edge_index, task.nodes)
        subgraphs = SubgraphAdjacency.of(pairs, partition(pairs, self.settings), task.nodes, self.settings.subgraphs)
        adjacency = subgraphs.normalised(torch.ones(subgraphs.edges, device=pairs.device))
        features = keep_features(task.features, self.kept_features, self.settings.used_features)
        return NessInputs(features, subgraphs, adjacency, _mean(adjacency, self.settings.subgraphs))

    def forward(self, inputs: NessInputs) -> Tensor:
        """The mean embedding of every node."""
        return self.propagate(inputs.features, inputs.mean_adjacency)

    def embed_subgraphs(self, inputs: NessInputs) -> Tensor:
        """Every node's embedding in every subgraph, [nodes, subgraphs, channels]; edges are dropped in training."""
        adjacency, dropout = inputs.adjacency, self.settings.edge_dropout
        if self.training and dropout:
            kept = torch.rand(inputs.subgraphs.edges, device=adjacency.value.device) >= dropout
            adjacency = inputs.subgraphs.normalised(kept.to(adjacency.value.dtype))
        stacked = self.propagate(inputs.features, adjacency)
        return stacked.view(-1, self.settings.subgraphs, self.settings.channels)

    def losses(self, task: LinkPrediction, inputs: NessInputs, batch_size: int | None) -> Iterator[Tensor]:  # noqa: ARG002
        """The whole training graph reconstructed from each subgraph, and how unlike their embeddings are."""
        positive = task.train.positive
        pairs = torch.cat([positive, task.draw_negatives(positive.shape[1])], dim=1)
        embedding = self.embed_subgraphs(inputs)
        logits = inner_products(embedding, pairs)
        loss = torch.stack([task.loss(of_subgraph, "train") for of_subgraph in logits.unbind(1)]).mean()
        if self.settings.contrastive_weight:
            loss = loss + self.settings.contrastive_weight * contrastive_loss(embedding, self.settings.temperature)
        yield loss

    def propagate(self, features: CsrMatrix, adjacency: CsrMatrix) -> Tensor:
        """Encode with one adjacency, (rows, nodes) -> [rows, channels]."""
        return adjacency @ (features @ self.lin.weight.t()) + self.lin.bias


class _InnerProducts(torch.autograd.Function):
    """The gradient is written out because PyTorch's own takes twice as long for it."""

    @staticmethod
    def forward(ctx: Any, embedding: Tensor, pairs: Tensor) -> Tensor:  # noqa: ANN401
        first, second = embedding.index_select(0, pairs[0]), embedding.index_select(0, pairs[1])
        ctx.nodes = embedding.shape[0]
        ctx.save_for_backward(pairs, first, second)
        return (first * second).sum(dim=2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        pairs, first, second = ctx.saved_tensors
        gradient = gradients[0][..., None]
        of_embedding = first.new_zeros(ctx.nodes, *first.shape[1:])
        of_embedding.index_add_(0, pairs[0], gradient * second).index_add_(0, pairs[1], gradient * first)
        return of_embedding, None


def inner_products(embedding: Tensor, pairs: Tensor) -> Tensor:
    """Inner product of two nodes in each subgraph, differentiable in the embedding.

    Shapes: embedding [nodes, subgraphs, channels], pairs [2, pairs] -> [pairs, subgraphs].
    """
    return _InnerProducts.apply(embedding, pairs)  # pyright: ignore[reportReturnType]


def undirected_edges(edge_index: Tensor, nodes: int) -> Tensor:
    """Each edge once, in the order of first mention and without self-loops; edge_index [2, edges] -> [2, pairs]."""
    low, high = edge_index.amin(0), edge_index.amax(0)
    key = low * nodes + high
    order = torch.argsort(key, stable=True)
    first = torch.ones_like(key, dtype=torch.bool)
    first[1:] = key[order].diff() != 0
    mentioned = order[first].sort().values
    pairs = torch.stack([low, high])[:, mentioned]
    return pairs[:, pairs[0] != pairs[1]]


def partition(pairs: Tensor, settings: NessSettings) -> Tensor:
    """The subgraph of each edge, all of nearly one size, by the settings' seed alone; pairs [2, edges] -> [edges]."""
    generator = torch.Generator().manual_seed(settings.partition_seed)
    return torch.randperm(pairs.shape[1], generator=generator).to(pairs.device) % settings.subgraphs


def contrastive_loss(embedding: Tensor, temperature: float) -> Tensor:
    """NT-Xent over pairs of subgraphs: a node has to be found among all nodes by its direction in the other subgraph.

    Embedding [nodes, subgraphs, channels]; 0 when there is one subgraph only.
    """
    directions = functional.normalize(embedding, dim=2).unbind(1)
    node = torch.arange(embedding.shape[0], device=embedding.device)
    losses = [
        functional.cross_entropy(one @ other.t() / temperature, node)
        for first, second in combinations(directions, 2)
        for one, other in ((first, second), (second, first))
    ]
    return torch.stack(losses).mean() if losses else embedding.new_zeros(())


def _mean(adjacency: CsrMatrix, subgraphs: int) -> CsrMatrix:
    """The mean of stacked adjacencies, with one entry where several subgraphs have one."""
    nodes = adjacency.shape[1]
    key, entry = torch.unique(adjacency.row // subgraphs * nodes + adjacency.column, return_inverse=True)
    value = adjacency.value.new_zeros(len(key)).index_add(0, entry, adjacency.value / subgraphs)
    return CsrMatrix.from_coordinates(key // nodes, key % nodes, value, (nodes, nodes))


MODELS.add(
    "ness",
    RegisteredModel(
        build=Ness,
        settings_class=NessSettings,
        task_kinds=("link-prediction",),
        recipe=Recipe(
            training=TrainingSettings(learning_rate=0.02, weight_decay=0.0, epochs=400, patience=100, most_epochs=1600),
            fine_tuning=TrainingSettings(learning_rate=0.02, weight_decay=0.0, epochs=30, patience=30),
        ),
    ),
)
