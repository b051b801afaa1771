"""A small net with an example, and places where one thing can be made wrong in it."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

NODES, EDGES = 12, 30


def example() -> tuple[Tensor, Tensor]:
    """Nodes that all have an edge, and edges that stay in a graph of four nodes."""
    generator = torch.Generator().manual_seed(0)
    source, target = torch.randint(0, 4, (EDGES,), generator=generator), torch.arange(EDGES) % NODES
    return torch.randn(NODES, 4, generator=generator), torch.stack([target // 4 * 4 + source, target])


class Net(nn.Module):
    """A sum over neighbours between two layers; functions change features, messages, what nodes are, and outputs."""

    passes: Tensor

    def __init__(self, after: Callable[..., Tensor] | None = None, **functions: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.enter, self.leave = nn.Linear(4, 8), nn.Linear(8, 3)
        self.register_buffer("passes", torch.zeros((), dtype=torch.int64))
        self.after, self.functions = after, functions

    def hidden(self, x: Tensor, edge_index: Tensor) -> Tensor:
        hidden = torch.tanh(self.enter(self._changed("features", x)))
        messages = self._changed("messages", hidden[edge_index[0]])
        return self._changed("nodes", hidden + torch.zeros_like(hidden).index_add(0, edge_index[1], messages))

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor | None = None) -> Tensor:
        hidden = self.hidden(x, edge_index)
        if batch is not None:
            sizes = torch.bincount(batch)
            hidden = hidden.new_zeros(len(sizes), hidden.shape[1]).index_add(0, batch, hidden) / sizes[:, None]
        out = self.leave(hidden)
        return out if self.after is None else self.after(self, out, x, edge_index)

    def _changed(self, what: str, values: Tensor) -> Tensor:
        return self.functions[what](values) if what in self.functions else values


def with_attribute(net: Net, **attributes: Any) -> Net:  # noqa: ANN401
    """The net with attributes that PyTorch may take for parameters, buffers, or nothing."""
    for name, value in attributes.items():
        setattr(net, name, value)
    return net
