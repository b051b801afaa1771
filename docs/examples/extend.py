"""A method, a dataset and the rules of a type of layer, in a repository of one's own."""

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import MessagePassing, global_mean_pool

import gnn
from gnn.compression import Compressed, Context, Masks, prunable_parameters, register_method
from gnn.layers.rules import lower


# A method: settings with a name and what stands in a case id, and a function that compresses.
@dataclass(frozen=True)
class Columns:
    """Share of the columns of each weight to set to zero."""

    method: ClassVar[str] = "columns"
    share: float
    compresses: ClassVar[bool] = True

    def id_parts(self) -> tuple[str, ...]:
        """The settings as they stand in a case id."""
        return (f"s{self.share:g}",)


@register_method(Columns)
def remove_columns(model: nn.Module, settings: Columns, context: Context) -> Compressed:  # noqa: ARG001
    """Zero the columns with the smallest norms; fine-tuning keeps them so."""
    kept = {}
    for name, layer, parameter in prunable_parameters(model):
        weight: Tensor = getattr(layer, parameter)
        norms = weight.detach().norm(dim=0)
        threshold = norms.sort().values[int(settings.share * len(norms))]
        kept[name] = (norms >= threshold).expand_as(weight).clone()
    masks = Masks(kept)
    masks.apply(model)
    return Compressed(model, masks)


# A type of layer, and the rule of how it runs faster: the same numbers by another way.
class MeanConvolution(MessagePassing):
    """The mean over neighbours, transformed."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(aggr="mean")
        self.linear = nn.Linear(in_channels, out_channels)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Logits or features of the nodes, [nodes, channels]."""
        return self.linear(self.propagate(edge_index, x=x))


class FusedMeanConvolution(nn.Module):
    """Adds up neighbours without making a message for each edge."""

    name = "mean by index_add, then one product"

    def __init__(self, layer: MeanConvolution) -> None:
        super().__init__()
        self.linear = layer.linear

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """The same as the layer's own forward pass."""
        source, target = edge_index
        degree = torch.bincount(target, minlength=len(x)).clamp(min=1).to(x.dtype)
        return self.linear(torch.zeros_like(x).index_add_(0, target, x[source]) / degree[:, None])


lower.register(MeanConvolution)(FusedMeanConvolution)


# A dataset: any list of graphs.
def rings_and_stars() -> list[Data]:
    """Graphs that are rings (0) or stars (1), with noise as features."""
    draw, graphs = torch.Generator().manual_seed(0), []
    for number in range(200):
        nodes = 5 + number % 6
        around = torch.arange(nodes)
        ends = torch.stack([around, (around + 1) % nodes if number % 2 == 0 else torch.zeros_like(around)])
        degree = torch.bincount(ends.flatten(), minlength=nodes).float()
        noise = torch.randn(nodes, 3, generator=draw)
        graphs.append(
            Data(x=torch.column_stack([degree, noise]), edge_index=torch.cat([ends, ends.flip(0)], 1), y=number % 2)
        )
    return graphs


class RingNet(nn.Module):
    """Two of these layers, and the mean over the nodes."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.out = MeanConvolution(4, 16), MeanConvolution(16, 16), nn.Linear(16, 2)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        """Logits of the graphs, [graphs, 2]."""
        hidden = self.second(self.first(x, edge_index).relu(), edge_index).relu()
        return self.out(global_mean_pool(hidden, batch))


RINGS = gnn.graph_task("rings", rings_and_stars(), split="stratified")
RING_NET = gnn.Model("ring-net", build=RingNet)


@gnn.cases(RINGS, RING_NET, gnn.Dense(), Columns(0.25), at_least={"accuracy.mean": 0.8}, fine_tune=True)
def test_my_method(case: Any, judge: Any) -> None:
    """The method keeps the accuracy on the data, and the layer runs on its kernel."""
    judge(case)
