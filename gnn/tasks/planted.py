"""A planted citation graph: the stand-in for Cora when there is neither a data folder nor a download.

What was measured on Cora (Planetoid's files), and what stands for it here:

- Degrees: 1 to 168, mean 3.9, no isolated node; the share of nodes with a degree above d falls as d^-2
  (9 at 95%, 19 at 99%, 67 at 99.9%). Here every node draws one edge, as a paper cites at least one, and
  the other ends go to nodes in proportion to what a Pareto distribution of exponent 2 leaves them.
- Edge homophily 0.81: exact here, over all edges together.
- Words: document frequencies fall from 1083 (rank 0) to 101 (rank 100) and 9 (rank 1000). Here
  (rank + 6)^-1 (Zipf-Mandelbrot).
- Dependence on the class: the words of a class lie 0.30 in total variation from those of the corpus (0.31
  here). Every word leans to one class, and the share of topic words differs from node to node.
- Difficulty, training on nodes 0..1707, testing on the last 500, on Cora and on seeds 0 to 2 of this:
  naive Bayes on words 0.78 and 0.73-0.78, a linear classifier on words 0.76 and 0.68-0.77, a two-layer GCN
  with 16 hidden channels 0.87-0.88 and 0.85-0.91.

Not reproduced: Cora's triangles (transitivity 0.09, here about 0.02) and the words that neighbours share
beyond their class, so link prediction is much harder here than on Cora.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from gnn.errors import SettingError
from gnn.tasks.citation_tensors import CitationTensors

WORD_RANK_OFFSET = 6.0  # gives the most frequent word Cora's document frequency, 0.4 of the nodes
TOPIC_RANK_OFFSET = 2.0  # a class has a few telling words and many weak ones
MEAN_TOPIC_SHARE = 0.33  # of a node's words; each node's own share is uniform between 0 and twice this
STUB_UNITS = 2**20  # integer weights keep the sampling exact: no rounding can return a self-loop
LARGEST_DENSITY = 0.25  # of the possible pairs; beyond it the draws are mostly repetitions


@dataclass(frozen=True)
class PlantedCitationGraph:
    """Set the size and the statistics of a planted citation graph; the defaults are Cora's.

    `edge_homophily` is the share of edges whose ends have the same label, `words_per_node` the mean number
    of ones in a feature row. `seed` belongs to the data and is independent of the training seed.
    Raises `SettingError` for a setting out of its range or settings that contradict each other.
    """

    nodes: int = 2708
    undirected_edges: int = 5278
    class_sizes: tuple[int, ...] = (351, 217, 418, 818, 426, 298, 180)
    edge_homophily: float = 0.81
    features: int = 1433
    words_per_node: float = 18.2
    seed: int = 0

    def __post_init__(self) -> None:
        sizes, edges = self.class_sizes, self.undirected_edges
        same = self.edge_homophily * edges
        same_pairs = sum(size * (size - 1) // 2 for size in sizes)
        other_pairs = self.nodes * (self.nodes - 1) // 2 - same_pairs
        expectations = {
            "two or more classes of two or more nodes in class_sizes": len(sizes) >= 2 and min(sizes) >= 2,
            f"the sum of class_sizes, {sum(sizes)}, as nodes": sum(sizes) == self.nodes,
            "a share as edge_homophily": 0 <= self.edge_homophily <= 1,
            "an edge or more per node": edges >= self.nodes,
            "a quarter of the pairs inside the classes as edges, or fewer": same <= LARGEST_DENSITY * same_pairs,
            "a quarter of the pairs between them as edges, or fewer": edges - same <= LARGEST_DENSITY * other_pairs,
            "a feature or more per class": self.features >= len(sizes),
            "1 word to half of the features as words_per_node": 1 <= self.words_per_node <= self.features / 2,
            "a seed from 0 to 2**63 - 1": 0 <= self.seed < 2**63,
        }
        for expected, met in expectations.items():
            if not met:
                raise SettingError(f"{self} makes no citation graph, expected {expected}; change that setting")

    @property
    def same_class_edges(self) -> int:
        """Number of undirected edges whose ends have the same label."""
        return round(self.edge_homophily * self.undirected_edges)


def plant_citation_graph(settings: PlantedCitationGraph) -> CitationTensors:
    """Draw a degree-corrected stochastic block model with bag-of-words features.

    An edge between u and v is proportional to weight(u) weight(v), times one constant if they share a class
    and another if not (Karrer and Newman, arXiv 1008.3926); words are a mixture of a background and a class
    topic. The order of the nodes says nothing about their class. The same settings give the same
    tensors; the global random state is neither read nor changed.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    sizes = torch.tensor(settings.class_sizes)
    sorted_labels = torch.arange(len(sizes)).repeat_interleave(sizes)
    labels = sorted_labels[torch.randperm(settings.nodes, generator=generator)]
    pairs = labels.argsort(stable=True)[_draw_pairs(settings, sorted_labels, generator)]
    feature_row, feature_column = _draw_words(settings, labels, generator).nonzero(as_tuple=True)
    return CitationTensors(
        feature_row=feature_row,
        feature_column=feature_column,
        edge_index=_both_directions(pairs, settings.nodes),
        labels=labels,
        shape=(settings.nodes, settings.features),
    )


@dataclass(frozen=True, eq=False)
class _StubLine:
    """Lay the stubs (free edge ends) of all nodes on a line, classes one after the other.

    Shapes: all [nodes] int64; node v owns [start, end) and its class [class_start, class_end).
    """

    labels: Tensor
    start: Tensor
    end: Tensor
    class_start: Tensor
    class_end: Tensor


def _lay_stubs(settings: PlantedCitationGraph, labels: Tensor, generator: torch.Generator) -> _StubLine:
    """Give each node its expected degree, mean / 2 * quantile^-1/2, less the one edge that it draws itself.

    Evenly spaced quantiles in random order keep the heavy tail from changing with the seed.
    """
    order = torch.randperm(settings.nodes, generator=generator)
    quantile = (order.double() + 0.5) / settings.nodes
    expected_degree = settings.undirected_edges / settings.nodes * quantile.rsqrt()
    stubs = ((expected_degree - 1) * STUB_UNITS).long().clamp(min=1)
    end = stubs.cumsum(0)
    class_stubs = torch.zeros(len(settings.class_sizes), dtype=torch.int64).index_add_(0, labels, stubs)
    class_end = class_stubs.cumsum(0)
    return _StubLine(labels, end - stubs, end, (class_end - class_stubs)[labels], class_end[labels])


def _draw_pairs(settings: PlantedCitationGraph, labels: Tensor, generator: torch.Generator) -> Tensor:
    """Draw [2, undirected_edges] distinct pairs of different nodes, exactly the asked share inside a class.

    `labels` are sorted. The first draw has one edge per node, so that none is isolated, and comes first
    in the list of pairs, so that none of it is cut off.
    """
    line = _lay_stubs(settings, labels, generator)
    source = torch.randperm(settings.nodes, generator=generator)
    same = torch.arange(settings.nodes) < round(settings.edge_homophily * settings.nodes)
    pairs = torch.stack((source, _draw_targets(line, source, same, generator)))
    while True:
        pairs = _drop_repeated(pairs, settings.nodes)
        inside = labels[pairs[0]] == labels[pairs[1]]
        within = pairs[:, inside][:, : settings.same_class_edges]
        between = pairs[:, ~inside][:, : settings.undirected_edges - settings.same_class_edges]
        if within.shape[1] + between.shape[1] == settings.undirected_edges:
            return torch.cat((within, between), dim=1)
        position = _draw_below(line.end[-1].expand(settings.undirected_edges), generator)
        source = torch.searchsorted(line.end, position, right=True)
        same = torch.rand(len(source), generator=generator) < settings.edge_homophily
        targets = _draw_targets(line, source, same, generator)
        pairs = torch.cat((pairs, torch.stack((source, targets))), dim=1)


def _draw_targets(line: _StubLine, source: Tensor, same: Tensor, generator: torch.Generator) -> Tensor:
    """Draw the other end of each edge: in the source's class without the source, or outside that class.

    Both are an interval of stubs with a hole in it. Shapes: `source`, `same` and the result [draws].
    """
    low = line.class_start[source].where(same, 0)
    high = line.class_end[source].where(same, line.end[-1])
    hole_start = torch.where(same, line.start[source], line.class_start[source])
    hole = torch.where(same, line.end[source], line.class_end[source]) - hole_start
    position = low + _draw_below(high - low - hole, generator)
    position = torch.where(position >= hole_start, position + hole, position)
    return torch.searchsorted(line.end, position, right=True)


def _draw_below(limit: Tensor, generator: torch.Generator) -> Tensor:
    """Draw an integer from [0, limit) for each entry of `limit` [draws]."""
    uniform = torch.rand(limit.shape, dtype=torch.float64, generator=generator)
    return (uniform * limit).long()


def _drop_repeated(pairs: Tensor, nodes: int) -> Tensor:
    """Keep the first of equal pairs, in the order drawn, (u, v) being equal to (v, u); pairs [2, draws]."""
    key, index = (pairs.amin(0) * nodes + pairs.amax(0)).sort(stable=True)
    first = torch.ones_like(key, dtype=torch.bool)
    first[1:] = key[1:] != key[:-1]
    return pairs[:, index[first].sort().values]


def _both_directions(pairs: Tensor, nodes: int) -> Tensor:
    """Turn distinct pairs [2, edges] into an edge index [2, 2 * edges] sorted by (source, target)."""
    key = torch.cat((pairs[0] * nodes + pairs[1], pairs[1] * nodes + pairs[0])).sort().values
    return torch.stack((key // nodes, key % nodes))


def _draw_words(settings: PlantedCitationGraph, labels: Tensor, generator: torch.Generator) -> Tensor:
    """Draw each node's distinct words from its mixture of background and topic; [nodes, features] bool.

    The words with the smallest -log(uniform) / probability are a weighted sample without replacement
    (Efraimidis and Spirakis 2006). A node has 1 + Poisson(words_per_node - 1) words, so none is without.
    """
    probability = _word_probability(settings, labels, generator)
    # Doubles, because an ulp of difference between two processors' logarithms could swap two words.
    uniform = torch.rand(probability.shape, dtype=torch.float64, generator=generator)
    arrival = uniform.log_().neg_().div_(probability)
    mean = torch.full((settings.nodes, 1), settings.words_per_node - 1, dtype=torch.float64)
    count = (1 + torch.poisson(mean, generator=generator)).long().clamp(max=settings.features)
    most = int(count.max())
    words = arrival.topk(most, largest=False, sorted=True).indices
    chosen = torch.zeros(probability.shape, dtype=torch.bool)
    return chosen.scatter_(1, words, torch.arange(most) < count)


def _word_probability(settings: PlantedCitationGraph, labels: Tensor, generator: torch.Generator) -> Tensor:
    """Mix (1 - share) * background + share * topic[label], share uniform in [0, 2 * mean], for every node.

    Shapes: `labels` [nodes]; result [nodes, features] float64, each row summing to 1.
    """
    classes = len(settings.class_sizes)
    rank = torch.randperm(settings.features, generator=generator)
    background = 1 / (rank.double() + WORD_RANK_OFFSET)
    topic = torch.zeros(classes, settings.features, dtype=torch.float64)
    topic[rank % classes, torch.arange(settings.features)] = 1 / (rank // classes + TOPIC_RANK_OFFSET).double()
    uniform = torch.rand(settings.nodes, 1, dtype=torch.float64, generator=generator)
    background = background / background.sum()
    topic = topic / topic.sum(dim=1, keepdim=True)
    return torch.lerp(background.expand(settings.nodes, -1), topic[labels], 2 * MEAN_TOPIC_SHARE * uniform)
