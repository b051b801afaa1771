"""Planted graphs: the stand-in for PROTEINS and BBBP when there is neither a data folder nor a download.

Numbers of graphs, classes, features and values are those of the real datasets; sizes and edges are about theirs. A
graph is a chain with gaps and rings, along which nodes of one kind stand in runs; how long these are tells the class,
beside the sizes and the kinds.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from gnn.tasks.graph_collection import GraphCollection

SMALLEST_RING, RING_SIZES = 4, 4


@dataclass(frozen=True)
class PlantedGraphs:
    """Set what planted graphs look like; pairs are of the two classes.

    `nodes` are the median sizes of graphs, `size_range` the smallest and the largest, `size_spread` the standard
    deviation of their logarithms. `kinds` are the rows of features that nodes have, `kind_shares` how many have each,
    and `alike` the share of nodes that take the kind of the one before. `links` are the shares of nodes that are joined
    with the one 1, 2, ... places before, `ring_share` those that close a ring. `attribute_range` spreads the first
    feature up to these values. `groups` bounds the scaffolds, and one graph in `repeated` equals the one before it.
    """

    class_sizes: tuple[int, int]
    nodes: tuple[float, float]
    size_range: tuple[int, int]
    size_spread: float
    kinds: tuple[tuple[int, ...], ...]
    kind_shares: tuple[tuple[float, ...], tuple[float, ...]]
    alike: tuple[float, float]
    links: tuple[float, ...]
    ring_share: float
    attribute_range: tuple[int, int] | None = None
    groups: int = 1
    repeated: int = 0


PROTEINS_LIKE = PlantedGraphs(
    class_sizes=(663, 450),
    nodes=(34, 16),
    size_range=(4, 620),
    size_spread=0.85,
    kinds=((9, 1, 0, 0), (5, 0, 1, 0), (4, 0, 0, 1)),
    kind_shares=((0.52, 0.45, 0.03), (0.44, 0.53, 0.03)),
    alike=(0.6, 0.3),
    links=(0.97, 0.6),
    ring_share=0.4,
    attribute_range=(-538, 798),
)
# The columns of PyG's `from_smiles`: element, chirality, degree, charge + 5, hydrogens, radicals, hybridisation,
# aromatic, in a ring.
BBBP_LIKE = PlantedGraphs(
    class_sizes=(479, 1560),
    nodes=(27, 22),
    size_range=(2, 132),
    size_spread=0.4,
    kinds=(
        (6, 0, 4, 5, 2, 0, 4, 0, 0),
        (6, 0, 3, 5, 1, 0, 3, 1, 1),
        (6, 1, 4, 5, 1, 0, 4, 0, 1),
        (8, 0, 2, 5, 1, 0, 4, 0, 0),
        (7, 0, 3, 5, 1, 0, 3, 0, 0),
        (16, 0, 2, 5, 0, 0, 3, 1, 1),
        (17, 0, 1, 4, 0, 0, 4, 0, 0),
    ),
    kind_shares=((0.35, 0.33, 0.05, 0.15, 0.1, 0.01, 0.01), (0.36, 0.34, 0.06, 0.13, 0.09, 0.01, 0.01)),
    alike=(0.2, 0.7),
    links=(0.995,),
    ring_share=0.12,
    groups=1025,
    repeated=32,
)


def plant_graphs(wanted: PlantedGraphs, seed: int = 0) -> tuple[GraphCollection, Tensor, Tensor]:
    """Draw graphs, and the numbers of the molecule and of the scaffold that each is of; `seed` belongs to the data.

    The global random state is neither read nor changed. Shapes: molecule, scaffold [graphs] int64.
    """
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(2).repeat_interleave(torch.tensor(wanted.class_sizes))
    labels = labels[torch.randperm(len(labels), generator=generator)]
    # Rare groups have more of class 0, which makes the scaffold split the harder one.
    uniform = torch.rand(len(labels), dtype=torch.float64, generator=generator)
    scaffold = (wanted.groups * uniform ** (1 + 2 * labels)).long()
    spread = wanted.size_spread * torch.randn(len(labels), dtype=torch.float64, generator=generator)
    sizes = (torch.tensor(wanted.nodes)[labels] * spread.exp()).long().clamp(*wanted.size_range)
    node_pointer = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
    graph = torch.arange(len(labels)).repeat_interleave(sizes)
    place = torch.arange(len(graph)) - node_pointer[graph]
    features = _draw_features(wanted, labels[graph], place, generator)
    edge_index = _draw_edges(wanted, scaffold[graph], place, generator)
    drawn = GraphCollection.from_edges(features, edge_index, node_pointer, labels)
    molecule = torch.arange(len(labels))
    if wanted.repeated:
        molecule[wanted.repeated - 1 :: wanted.repeated] -= 1
    batch = drawn.select(molecule)
    collection = GraphCollection.from_edges(batch.features, batch.edge_index, batch.node_pointer, labels)
    return collection, _numbered(molecule), _numbered(scaffold[molecule])


def _draw_features(wanted: PlantedGraphs, labels: Tensor, place: Tensor, generator: torch.Generator) -> Tensor:
    """The features of every node, [nodes, channels]; labels and place, the number in its graph, [nodes]."""
    stay, choice, outlier, far = torch.rand(4, len(place), dtype=torch.float64, generator=generator)
    run = ((stay >= torch.tensor(wanted.alike)[labels]) | (place == 0)).cumsum(0) - 1
    bounds = torch.tensor(wanted.kind_shares, dtype=torch.float64).cumsum(1)[labels]
    kind = (choice[run][:, None] >= bounds[:, :-1]).sum(1)
    features = torch.tensor(wanted.kinds)[kind].float()
    if wanted.attribute_range:
        low, high = wanted.attribute_range
        factor = (0.6 * torch.randn(len(place), dtype=torch.float64, generator=generator)).exp()
        features[:, 0] = torch.where(outlier < 0.001, low + far * (high - low), features[:, 0] * factor).round()
    return features


def _draw_edges(wanted: PlantedGraphs, scaffold: Tensor, place: Tensor, generator: torch.Generator) -> Tensor:
    """Both directions of every edge once, [2, edges]; scaffold and place, the number in its graph, [nodes]."""
    closing = SMALLEST_RING - 1 + scaffold % RING_SIZES
    ends = []
    for back, share in (*enumerate(wanted.links, 1), (closing, wanted.ring_share)):
        chosen = torch.rand(len(place), dtype=torch.float64, generator=generator) < share
        high = (chosen & (place >= back)).nonzero().flatten()
        ends.append(torch.stack([high, high - (back[high] if isinstance(back, Tensor) else back)]))
    pairs = torch.cat(ends, dim=1)
    return torch.cat([pairs, pairs.flip(0)], dim=1)


def _numbered(names: Tensor) -> Tensor:
    """The numbers of names among those that occur, from 0 on without a gap, [names]."""
    return torch.unique(names, return_inverse=True)[1]
