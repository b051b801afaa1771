"""A net as a user of PyG writes it; whoever imports this module waits for PyG."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch_geometric import nn as pyg
from torch_geometric.nn import global_mean_pool

WIDTH, LAYERS, HEADS = 128, 3, 4


def _transform(channels: int) -> nn.Module:
    return nn.Sequential(nn.Linear(channels, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH))


CONVOLUTIONS: dict[str, Callable[[int], nn.Module]] = {
    "gcn": lambda channels: pyg.GCNConv(channels, WIDTH),
    "sage": lambda channels: pyg.SAGEConv(channels, WIDTH),
    "gin": lambda channels: pyg.GINConv(_transform(channels)),
    "gat": lambda channels: pyg.GATConv(channels, WIDTH // HEADS, heads=HEADS),
}


class PygNet(nn.Module):
    """Three convolutions with 128 channels and a ReLU each, the mean over nodes, and a linear classifier."""

    def __init__(self, kind: str, in_channels: int, classes: int) -> None:
        super().__init__()
        widths = (in_channels, *[WIDTH] * (LAYERS - 1))
        self.convs = nn.ModuleList(CONVOLUTIONS[kind](channels) for channels in widths)
        self.out = nn.Linear(WIDTH, classes)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        """Logits of graphs."""
        for conv in self.convs:
            x = torch.relu(conv(x, edge_index))
        return self.out(global_mean_pool(x, batch))
