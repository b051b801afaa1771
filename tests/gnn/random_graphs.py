"""Random graphs, and tasks made of them, that the tests of graph classifiers share."""

import torch
from torch import Tensor

from gnn.tasks import GraphBatch, GraphClassification, Split
from gnn.tasks.graph_collection import GraphCollection

CHANNELS = 4


def random_collection(sizes: list[int], edges_per_node: float, seed: int, channels: int = CHANNELS) -> GraphCollection:
    """Graphs of these sizes with random directed edges: some equal, some self-loops, and nodes without any."""
    generator = torch.Generator().manual_seed(seed)
    node_pointer = torch.tensor([0, *sizes]).cumsum(0)
    edges = [
        first + torch.randint(max(size, 1), (2, int(edges_per_node * size)), generator=generator)
        for size, first in zip(sizes, node_pointer.tolist(), strict=False)
    ]
    features = torch.randn(sum(sizes), channels, generator=generator)
    labels = torch.arange(len(sizes)) % 2
    return GraphCollection.from_edges(features, torch.cat(edges, dim=1), node_pointer, labels)


def batch_of(sizes: list[int], edges_per_node: float = 2.0, seed: int = 0) -> GraphBatch:
    """All graphs of a random collection as one batch."""
    return random_collection(sizes, edges_per_node, seed).select(torch.arange(len(sizes)))


def random_task(channels: int = CHANNELS, seed: int = 0) -> GraphClassification:
    """48 graphs of 1 to 9 nodes whose class shows in their first feature; 32 to train on, 8 to validate, 8 to test."""
    sizes = (torch.arange(48) % 9 + 1).tolist()
    collection = random_collection(sizes, 2.0, seed, channels)
    shift = torch.repeat_interleave(2.0 * collection.labels - 1, torch.tensor(sizes))
    collection.features[:, 0] += shift
    split = Split(*torch.arange(48).split([32, 8, 8]))
    return GraphClassification("planted-random", "planted", "clean", collection, split, classes=2)


def by_target(edge_index: Tensor) -> Tensor:
    """Edges [2, edges] sorted as a collection holds them, by (target, source)."""
    return edge_index[:, torch.argsort(edge_index[1] * int(edge_index.max() + 1) + edge_index[0])]
