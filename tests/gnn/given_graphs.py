"""PyG graphs such as somebody brings along, that the tests of given tasks share; `Data` has attributes of any type."""

from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.utils import to_undirected

from gnn.models import on_task
from gnn.tasks import Task

NODES, CHANNELS, CLASSES = 60, 5, 3


def some_graph(nodes: int = NODES, seed: int = 0, *, masks: bool = True, **more: Tensor) -> Any:  # noqa: ANN401
    """Random edges in both directions, in no order, with weights and features, and a class that shows in x."""
    generator = torch.Generator().manual_seed(seed)
    edge_index = to_undirected(torch.randint(nodes, (2, 3 * nodes), generator=generator), num_nodes=nodes)
    edge_index = edge_index[:, torch.randperm(edge_index.shape[1], generator=generator)]
    y = torch.arange(nodes) % CLASSES
    x = torch.randn(nodes, CHANNELS, generator=generator)
    x[torch.arange(nodes), y] += 3
    edges = edge_index.shape[1]
    data = Data(x=x, edge_index=edge_index, y=y, edge_attr=torch.rand(edges, 2, generator=generator))
    data.edge_weight = torch.rand(edges, generator=generator)
    if masks:
        number = torch.arange(nodes) % 10
        data.train_mask, data.val_mask, data.test_mask = number < 6, (number == 6) | (number == 7), number > 7
    return data.update(more)


def some_graphs(count: int = 40, seed: int = 0) -> list[Any]:
    """Graphs of 1 to 7 nodes whose features tell their class; the first has a single node and no edge."""
    graphs = []
    for number in range(count):
        nodes = number % 7 + 1
        data = some_graph(nodes, seed + number, masks=False, y=torch.tensor([number % 2]))
        data.x = data.x + 2 * (number % 2)
        graphs.append(data)
    graphs[0].edge_index = graphs[0].edge_index[:, :0]
    graphs[0].edge_weight, graphs[0].edge_attr = graphs[0].edge_weight[:0], graphs[0].edge_attr[:0]
    return graphs


def pyg_of(task: Task, part: str | None = None) -> Any:  # noqa: ANN401
    """What a plain module is called with."""
    return task.pyg(part)


def logits_of(module: nn.Module, task: Any) -> Tensor:  # noqa: ANN401
    asked = on_task(module.eval(), task)
    with torch.no_grad():
        return asked.outputs(task, asked.prepare(task), "test")
