"""Models that this repository does not have: PyG's own, and some as a user writes them, each with an example."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric import nn as pyg
from torch_geometric.nn import global_add_pool, global_max_pool, global_mean_pool

from gnn.determinism import deterministic

FEATURES, CLASSES, NODES, EDGES, GRAPHS = 7, 3, 20, 60, 4
Foreign = tuple[nn.Module, tuple[Tensor, ...]]


class ResidualGcn(nn.Module):
    """Two convolutions with a normalisation and a residual, and two pools side by side."""

    def __init__(self, width: int = 12) -> None:
        super().__init__()
        self.first, self.second = pyg.GCNConv(FEATURES, width), pyg.GCNConv(width, width)
        self.norm, self.out = nn.BatchNorm1d(width), nn.Linear(2 * width, CLASSES)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        """Logits of graphs."""
        first = self.first(x, edge_index).relu()
        second = self.norm(self.second(first, edge_index)).relu() + first
        return self.out(torch.cat([global_mean_pool(second, batch), global_max_pool(second, batch)], dim=1))


class JumpingGin(nn.Module):
    """Convolutions with an MLP inside, all of which the sum over nodes sees."""

    def __init__(self, width: int = 10) -> None:
        super().__init__()

        def mlp(channels: int) -> nn.Sequential:
            layers = (nn.Linear(channels, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, width))
            return nn.Sequential(*layers)

        self.convs = nn.ModuleList([pyg.GINConv(mlp(FEATURES)), pyg.GINConv(mlp(width), train_eps=True)])
        self.lin1, self.lin2 = nn.Linear(2 * width, 8), nn.Linear(8, CLASSES)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        """Logits of graphs."""
        levels = []
        for conv in self.convs:
            x = torch.relu(conv(x, edge_index))
            levels.append(x)
        return self.lin2(torch.relu(self.lin1(global_add_pool(torch.cat(levels, dim=1), batch))))


class OwnConvolution(pyg.MessagePassing):
    """Somebody's own convolution: the mean of what a linear layer makes of neighbours, and a scale for each channel."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(aggr="mean")
        self.linear = nn.Linear(in_channels, out_channels)
        self.scale = nn.Parameter(torch.ones(out_channels))

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Aggregate what was projected."""
        return self.propagate(edge_index, x=self.linear(x)) * self.scale

    def message(self, x_j: Tensor) -> Tensor:
        """The neighbour, bounded."""
        return torch.tanh(x_j)


class OwnNet(nn.Module):
    """Own convolutions with the raw features beside the hidden ones, one of them used twice."""

    def __init__(self, width: int = 9) -> None:
        super().__init__()
        self.first, self.twice = OwnConvolution(FEATURES, width), OwnConvolution(width, width)
        self.out = pyg.GraphConv(width + FEATURES, CLASSES)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """Logits of nodes."""
        hidden = functional.elu(self.first(x, edge_index))
        for _ in range(2):
            hidden = functional.elu(self.twice(hidden, edge_index))
        return self.out(torch.cat([x, hidden], dim=1), edge_index)


SIZES = (FEATURES, 12, 3, CLASSES)
PNA = {"aggregators": ["mean", "max", "std"], "scalers": ["identity", "amplification"], "deg": torch.arange(1, 9)}
# What builds a model, and whether its example has the graph of each node as well.
BUILD: dict[str, tuple[Callable[[], nn.Module], bool]] = {
    "gcn": (lambda: pyg.models.GCN(*SIZES), False),
    "gcn-jk-cat": (lambda: pyg.models.GCN(*SIZES, jk="cat", norm="batch_norm"), False),
    "gin": (lambda: pyg.models.GIN(*SIZES), False),
    "gin-jk-max": (lambda: pyg.models.GIN(*SIZES, jk="max", norm="graph_norm"), False),
    "sage": (lambda: pyg.models.GraphSAGE(*SIZES), False),
    "sage-layer-norm": (lambda: pyg.models.GraphSAGE(*SIZES, jk="max", norm="layer_norm", project=True), False),
    "gat": (lambda: pyg.models.GAT(*SIZES, heads=3), False),
    "gat-jk-cat": (lambda: pyg.models.GAT(*SIZES, heads=2, jk="cat", norm="batch_norm", residual=True), False),
    "gat-v2": (lambda: pyg.models.GAT(*SIZES, heads=2, v2=True, jk="max"), False),
    "pna": (lambda: pyg.models.PNA(*SIZES, **PNA, towers=1), False),
    "pna-jk-cat": (lambda: pyg.models.PNA(*SIZES, **PNA, jk="cat", norm="batch_norm"), False),
    "edge-cnn": (lambda: pyg.models.EdgeCNN(*SIZES), False),
    "edge-cnn-jk-max": (lambda: pyg.models.EdgeCNN(*SIZES, jk="max", norm="instance_norm"), False),
    "residual-gcn": (ResidualGcn, True),
    "jumping-gin": (JumpingGin, True),
    "own": (OwnNet, False),
}
FOREIGN_MODELS = tuple(BUILD)


def foreign_model(name: str, seed: int = 0) -> Foreign:
    """A model in evaluation mode whose numbers are all random, and the arguments of its forward pass."""
    build, pools = BUILD[name]
    with deterministic(seed):
        model = build().eval()
        randomise(model)
        x, edge_index = torch.randn(NODES, FEATURES), torch.randint(0, NODES, (2, EDGES))
    if not pools:
        return model, (x, edge_index)
    size = NODES // GRAPHS
    # Edges stay in the graph of their target.
    edge_index = torch.stack([edge_index[1] // size * size + edge_index[0] % size, edge_index[1]])
    return model, (x, edge_index, torch.arange(NODES) // size)


@torch.no_grad()
def randomise(model: nn.Module) -> None:
    """Make no two numbers of a model equal, so that a wrong slice cannot pass for the right one."""
    state: dict[str, Any] = model.state_dict()
    for name, tensor in state.items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2.0)
        elif tensor.is_floating_point() and "avg_deg" not in name:
            tensor.normal_(std=0.5)
