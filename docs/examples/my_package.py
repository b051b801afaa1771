"""A model and data as you have them; this file stands in for your own package."""

import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn import GCNConv

NODES, CHANNELS, CLASSES, NEIGHBOURS = 600, 40, 4, 4


class Net(nn.Module):
    """Two graph convolutions, as in any tutorial."""

    def __init__(self, hidden_channels: int) -> None:
        super().__init__()
        self.conv1 = GCNConv(CHANNELS, hidden_channels)
        self.conv2 = GCNConv(hidden_channels, CLASSES)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Logits of the nodes, [nodes, classes]."""
        return self.conv2(self.conv1(x, edge_index).relu(), edge_index)


def papers() -> Data:
    """Papers that mostly cite their own subject, some of whose words tell it, with masks."""
    draw = torch.Generator().manual_seed(0)
    subject = torch.arange(NODES) % CLASSES
    cited = (torch.arange(NODES)[:, None] + CLASSES * torch.randint(1, 40, (NODES, NEIGHBOURS), generator=draw)) % NODES
    anything = torch.randint(0, NODES, cited.shape, generator=draw)
    cited = torch.where(torch.rand(cited.shape, generator=draw) < 0.7, cited, anything)
    edges = torch.stack([torch.arange(NODES).repeat_interleave(NEIGHBOURS), cited.flatten()])
    words = torch.rand(NODES, CHANNELS, generator=draw) < 0.1
    words[torch.arange(NODES), subject] |= torch.rand(NODES, generator=draw) < 0.6
    part = torch.rand(NODES, generator=draw)
    return Data(
        x=words.float(),
        edge_index=torch.cat([edges, edges.flip(0)], dim=1),
        y=subject,
        train_mask=part < 0.6,
        val_mask=(part >= 0.6) & (part < 0.8),
        test_mask=part >= 0.8,
    )


data = papers()
