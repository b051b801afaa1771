"""The SuperGAT that the paper compares on PROTEINS and BBBP."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from gnn.errors import SettingError
from gnn.models.readout_net import READOUT_RECIPE, ReadoutNet, ReadoutNetSettings
from gnn.models.registry import MODELS, RegisteredModel
from gnn.tasks import GraphBatch, GraphClassification

if TYPE_CHECKING:
    from torch_geometric.nn import SuperGATConv


@dataclass(frozen=True)
class SuperGatReadoutSettings(ReadoutNetSettings):
    """Sizes of SuperGAT: `heads` share the hidden channels. Raises `SettingError` for bad ones.

    `attention_loss_weight` is what the loss that tells edges from other pairs counts while training.
    """

    hidden_channels: int = 32
    heads: int = 4
    attention_loss_weight: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.heads, int) or self.heads < 1 or self.hidden_channels % self.heads:
            raise SettingError(
                f"heads {self.heads} do not divide hidden_channels {self.hidden_channels}; give one that does"
            )
        if not 0 <= self.attention_loss_weight < float("inf"):
            raise SettingError(
                f"attention_loss_weight {self.attention_loss_weight} must be a number not below 0, such as 1"
            )


class SuperGatReadout(ReadoutNet):
    """Two of PyG's SuperGATConv, mean and linear classifier, trained to tell edges from other pairs, too.

    Attention of type MX; loss = cross-entropy + weight * (sum of the layers' binary cross-entropies of edges against
    half as many pairs of the same graph without an edge). Source: Kim and Oh, ICLR 2021; the paper, Table 4.
    """

    settings: SuperGatReadoutSettings

    def __init__(self, settings: SuperGatReadoutSettings) -> None:
        # PyG takes seconds to import, so only who builds this model pays for it.
        from torch_geometric.nn import SuperGATConv  # noqa: PLC0415

        heads = settings.heads
        super().__init__(
            settings,
            lambda in_channels, out_channels: SuperGATConv(
                in_channels, out_channels // heads, heads=heads, attention_type="MX", is_undirected=True
            ),
        )

    def convolve(self, convolution: nn.Module, hidden: Tensor, batch: GraphBatch) -> Tensor:
        """One convolution over the edges; in training its attention also looks at pairs without an edge."""
        # PyG would draw them with Python's own random numbers, which a run does not seed.
        pairs = draw_non_edges(batch, batch.edge_index.shape[1] // 2) if self.training else None
        return convolution(hidden, batch.sorted_edges, neg_edge_index=pairs)

    def losses(self, task: GraphClassification, inputs: Any, batch_size: int | None) -> Iterator[Tensor]:  # noqa: ANN401, ARG002
        """The mean loss of each shuffled batch, and what its attention says of edges."""
        for batch in self.training_batches(task, batch_size):
            loss = task.objective.loss(self(batch), batch.labels)
            yield loss + self.settings.attention_loss_weight * self._take_attention_loss()

    def _take_attention_loss(self) -> Tensor:
        convolutions = cast("list[SuperGATConv]", list(self.convolutions))
        loss = torch.stack([convolution.get_attention_loss() for convolution in convolutions]).sum()
        for convolution in convolutions:
            # A tensor with a history would keep the model from being copied.
            convolution.att_x = convolution.att_y = None
        return loss


def draw_non_edges(batch: GraphBatch, draws: int) -> Tensor:
    """Random pairs of different nodes of one graph, without those that are an edge, [2, at most `draws`]."""
    nodes, device = len(batch.features), batch.features.device
    source = torch.randint(nodes, (draws,), device=device)
    graph = batch.graph_of_node[source]
    size = batch.node_pointer.diff()[graph]
    target = batch.node_pointer[graph] + (torch.rand(draws, device=device) * size).long()
    edges = batch.edge_index[0] * nodes + batch.edge_index[1]
    free = (source != target) & ~torch.isin(source * nodes + target, edges)
    return torch.stack([source, target])[:, free]


MODELS.add(
    "supergat-readout",
    RegisteredModel(
        build=SuperGatReadout,
        settings_class=SuperGatReadoutSettings,
        task_kinds=("graph-classification",),
        # Half as many epochs as the other two have: each costs three times as much.
        recipe=replace(
            READOUT_RECIPE,
            training=replace(READOUT_RECIPE.training, epochs=30, patience=15, most_epochs=240),
        ),
    ),
)
