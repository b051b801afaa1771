"""A small net with an example, from which wrong ones are made."""

import torch
from torch import Tensor, nn

NODES, EDGES = 12, 30


def example() -> tuple[Tensor, Tensor]:
    """Nodes whose edges stay in a graph of four, and all of which have one."""
    generator = torch.Generator().manual_seed(0)
    source, target = torch.randint(0, 4, (EDGES,), generator=generator), torch.arange(EDGES) % NODES
    return torch.randn(NODES, 4, generator=generator), torch.stack([target // 4 * 4 + source, target])


class Net(nn.Module):
    """A sum over neighbours between two layers; the wrong ones do one thing more."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.enter, self.leave = nn.Linear(4, 8), nn.Linear(8, 3)

    def message(self, hidden: Tensor) -> Tensor:
        return hidden

    def hidden(self, x: Tensor, edge_index: Tensor) -> Tensor:
        hidden = torch.tanh(self.enter(x))
        return hidden + torch.zeros_like(hidden).index_add(0, edge_index[1], self.message(hidden[edge_index[0]]))

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.leave(self.hidden(x, edge_index))


class Pooled(Net):
    """The mean over the nodes of each graph."""

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        hidden, sizes = self.hidden(x, edge_index), torch.bincount(batch)
        return self.leave(hidden.new_zeros(len(sizes), hidden.shape[1]).index_add(0, batch, hidden) / sizes[:, None])
