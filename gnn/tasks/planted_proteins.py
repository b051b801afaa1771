"""Planted proteins: the stand-in for PROTEINS when there is neither a data folder nor a download.

What was measured on PROTEINS (TUDataset's files), and what stands for it here:

- Sizes: 4 to 620 nodes, mean 39; the 663 graphs of class 0 are twice as large (median 34) as the 450 of class 1
  (median 16). Here the measured quantiles of each class; mean 41.
- Edges: nodes are pieces of a protein, joined with their three nearest neighbours; degrees 0 to 25, mean 3.7,
  transitivity 0.37, 5 nodes isolated. Here the nodes are the steps of a blurred random walk in space, joined likewise,
  with one edge in twenty missing: degrees 0 to 10, mean 3.8, transitivity 0.41, 5 nodes isolated.
- One-hot labels: helix 49%, sheet 48%, turn 3%, in shares that spread wider in class 1. Here the measured quantiles of
  the shares of each class; turns only beside helices and sheets in equal parts.
- The attribute, a length: 1 to 40 with outliers from -538 to 798, its mean 8% higher in class 1. Here the measured
  quantiles for each label, 8% higher in class 1.
- Structure that tells the class: in PROTEINS the size, which shows in the degrees; equal neighbours correlate by 0.24
  inside the graphs of class 0 and 0.21 in class 1. Here 0.36 and 0.11, because no other structure is planted.
- Difficulty, on random splits of PROTEINS and of seeds 0 and 1 of this: majority 0.60 and 0.60, a linear classifier on
  mean features 0.66 and 0.65-0.68, on the logarithm of the size 0.75 and 0.70, a GIN of three layers 0.75 and
  0.73-0.76.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from gnn.errors import SettingError
from gnn.tasks.graph_collection import GraphCollection
from gnn.tasks.planted_quantiles import Quantiles

LABELS = 3  # helix, sheet, turn
NEIGHBOURS = 3
GRAPH_SHARES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)
NODE_SHARES = (0.0, 0.0001, 0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999, 0.9999, 1.0)
SIZES = (
    Quantiles(GRAPH_SHARES, (4, 12, 22, 34, 59, 103, 139, 256, 620)),
    Quantiles(GRAPH_SHARES, (4, 5, 10, 16.5, 27.75, 45, 62, 104, 150)),
)
HELIX_SHARES = (
    Quantiles(GRAPH_SHARES, (0.0, 0.146, 0.398, 0.529, 0.632, 0.714, 0.772, 1.0, 1.0)),
    Quantiles(GRAPH_SHARES, (0.0, 0.018, 0.222, 0.417, 0.667, 1.0, 1.0, 1.0, 1.0)),
)
TURN_SHARES = Quantiles(GRAPH_SHARES, (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.3, 0.515, 0.75))
ATTRIBUTES = (
    Quantiles(NODE_SHARES, (-538, 0, 1, 3, 3, 5, 9, 14, 21, 29, 39, 60, 798)),
    Quantiles(NODE_SHARES, (-345, 0, 2, 2, 2, 4, 5, 7, 10, 14, 19, 30, 360)),
    Quantiles(NODE_SHARES, (1, 1, 1, 2, 4, 4, 4, 4, 7, 15, 17, 20, 25)),
)
LENGTH_FACTORS = (1.0, 1.08)
MISSING_EDGES = 0.05  # leaves nodes of degree 2 and less
POSITION_NOISE = 1.5  # beside steps of 1, so that not only consecutive pieces are neighbours
LABEL_NOISE = (0.7, 1.3)  # beside a field that varies over the protein with a spread of 1


@dataclass(frozen=True)
class PlantedProteins:
    """Set the number of planted proteins of each class; the defaults are those of PROTEINS.

    `seed` belongs to the data and is independent of the training seed. Raises `SettingError`.
    """

    class_sizes: tuple[int, int] = (663, 450)
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.class_sizes) < 1:
            raise SettingError(f"class_sizes is {self.class_sizes}, expected a graph or more of each class; add some")
        if not 0 <= self.seed < 2**63:
            raise SettingError(
                f"seed is {self.seed}, expected a whole number from 0 to 2**63 - 1; choose one in that range"
            )


def plant_proteins(settings: PlantedProteins) -> GraphCollection:
    """Draw proteins as random walks in space whose pieces are joined with their nearest neighbours.

    The order of the graphs says nothing about their class. The same settings give the same tensors; the global random
    state is neither read nor changed. Shapes: features [nodes, 4], an attribute and three one-hot labels.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    labels = torch.arange(2).repeat_interleave(torch.tensor(settings.class_sizes))
    labels = labels[torch.randperm(len(labels), generator=generator)]
    sizes = _by_class(SIZES, labels, generator).round().long()
    node_pointer = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
    shares = torch.stack([_by_class(HELIX_SHARES, labels, generator), TURN_SHARES.spread(len(labels), generator)], 1)
    edges: list[Tensor] = []
    kinds: list[Tensor] = []
    for graph, size in enumerate(sizes.tolist()):
        step, shift = torch.randn(2, size, 3, dtype=torch.float64, generator=generator)
        position = step.cumsum(0) + POSITION_NOISE * shift
        edges.append(_join_nearest(position, generator) + node_pointer[graph])
        kinds.append(_draw_kinds(position, shares[graph], LABEL_NOISE[int(labels[graph])], generator))
    factor = torch.tensor(LENGTH_FACTORS, dtype=torch.float64)[labels].repeat_interleave(sizes)
    features = _draw_features(torch.cat(kinds), factor, generator)
    return GraphCollection.from_edges(features, torch.cat(edges, dim=1), node_pointer, labels)


def _by_class(quantiles: tuple[Quantiles, Quantiles], labels: Tensor, generator: torch.Generator) -> Tensor:
    values = torch.zeros(len(labels), dtype=torch.float64)
    for number, of_class in enumerate(quantiles):
        members = labels == number
        values[members] = of_class.spread(int(members.sum()), generator)
    return values


def _join_nearest(position: Tensor, generator: torch.Generator) -> Tensor:
    """Both directions of the edges between every node and its nearest ones, each once; position [nodes, 3]."""
    nodes = len(position)
    # The other mode rounds differently on different processors, which could swap two neighbours.
    distance = torch.cdist(position, position, compute_mode="donot_use_mm_for_euclid_dist")
    nearest = distance.fill_diagonal_(torch.inf).topk(NEIGHBOURS, largest=False).indices
    node = torch.arange(nodes)[:, None].expand_as(nearest)
    key = (torch.minimum(node, nearest) * nodes + torch.maximum(node, nearest)).unique()
    key = key[torch.rand(len(key), generator=generator) >= MISSING_EDGES]
    low, high = key // nodes, key % nodes
    return torch.stack([torch.cat([low, high]), torch.cat([high, low])])


def _draw_kinds(position: Tensor, shares: Tensor, noise: float, generator: torch.Generator) -> Tensor:
    """Helix (0), sheet (1) or turn (2) of every node, [nodes]: helices on one side of the protein, sheets opposite."""
    nodes = len(position)
    direction = torch.randn(3, dtype=torch.float64, generator=generator)
    field = (position - position.mean(0)) @ direction
    field = field / field.std() + noise * torch.randn(nodes, dtype=torch.float64, generator=generator)
    kinds = torch.ones(nodes, dtype=torch.int64)
    kinds[field.argsort()[: round(float(shares[0]) * nodes)]] = 0
    kinds[torch.randperm(nodes, generator=generator)[: round(float(shares[1]) * nodes)]] = 2
    return kinds


def _draw_features(kinds: Tensor, factor: Tensor, generator: torch.Generator) -> Tensor:
    attribute = torch.zeros(len(kinds), dtype=torch.float64)
    for kind, quantiles in enumerate(ATTRIBUTES):
        members = kinds == kind
        share = torch.rand(int(members.sum()), dtype=torch.float64, generator=generator)
        attribute[members] = (quantiles.at(share) * factor[members]).round()
    return torch.cat([attribute[:, None], functional.one_hot(kinds, LABELS)], dim=1).float()
