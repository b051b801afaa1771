"""The planted citation graph has Cora's statistics, is repeatable, and can be learned from."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gnn.errors import SettingError
from gnn.tasks.citation_tensors import CitationTensors
from gnn.tasks.planted import PlantedCitationGraph, plant_citation_graph

TRAINING_NODES = 1708
TEST_NODES = 500
TENSORS = ("feature_row", "feature_column", "edge_index", "labels")
SMALL: dict[str, Any] = {
    "nodes": 60,
    "undirected_edges": 120,
    "class_sizes": (10, 20, 30),
    "features": 40,
    "words_per_node": 5.0,
}


@pytest.fixture(scope="module")
def cora_like() -> CitationTensors:
    return plant_citation_graph(PlantedCitationGraph())


def dense_words(graph: CitationTensors) -> Tensor:
    words = torch.zeros(graph.shape)
    words[graph.feature_row, graph.feature_column] = 1
    return words


def share_inside_classes(graph: CitationTensors) -> float:
    source, target = graph.labels[graph.edge_index]
    return (source == target).double().mean().item()


def assert_well_formed(graph: CitationTensors, wanted: PlantedCitationGraph) -> None:
    nodes, features = graph.shape
    source, target = graph.edge_index
    key = source * nodes + target
    assert graph.shape == (wanted.nodes, wanted.features)
    assert graph.edge_index.shape == (2, 2 * wanted.undirected_edges)
    assert (key.diff() > 0).all()
    assert torch.equal((target * nodes + source).sort().values, key)
    assert (source != target).all()
    assert torch.equal(source.unique(), torch.arange(nodes))
    assert torch.bincount(graph.labels).tolist() == list(wanted.class_sizes)
    word_key = graph.feature_row * features + graph.feature_column
    assert (word_key.diff() > 0).all()
    assert graph.feature_column.min() >= 0
    assert graph.feature_column.max() < features
    assert torch.equal(graph.feature_row.unique(), torch.arange(nodes))
    assert all(getattr(graph, name).dtype == torch.int64 for name in TENSORS)


def test_default_graph_is_well_formed_and_as_large_as_cora(cora_like: CitationTensors) -> None:
    assert cora_like.shape == (2708, 1433)
    assert cora_like.edge_index.shape == (2, 10556)
    assert_well_formed(cora_like, PlantedCitationGraph())


def test_edge_homophily_is_exact_to_one_edge(cora_like: CitationTensors) -> None:
    assert share_inside_classes(cora_like) == pytest.approx(0.81, abs=1 / 5278)


def test_degrees_have_coras_tail(cora_like: CitationTensors) -> None:
    degree = torch.bincount(cora_like.edge_index[0]).double()
    median, upper, extreme = (degree.quantile(share).item() for share in (0.5, 0.95, 0.99))
    assert median == pytest.approx(3, abs=1)  # Cora: 3
    assert upper == pytest.approx(9, abs=2)  # Cora: 9
    assert extreme == pytest.approx(19, abs=5)  # Cora: 19
    assert 80 <= degree.max().item() <= 250  # Cora: 168


def test_words_have_coras_frequencies(cora_like: CitationTensors) -> None:
    words = dense_words(cora_like)
    frequency = words.sum(dim=0).sort(descending=True).values
    assert words.sum(dim=1).mean().item() == pytest.approx(18.2, abs=0.4)
    assert frequency[0].item() == pytest.approx(1083, rel=0.2)
    assert frequency[100].item() == pytest.approx(101, rel=0.3)
    assert frequency[1000].item() == pytest.approx(9, rel=0.4)


def test_every_part_of_the_node_order_has_all_classes(cora_like: CitationTensors) -> None:
    share = torch.bincount(cora_like.labels) / len(cora_like.labels)
    for part in (cora_like.labels[:TRAINING_NODES], cora_like.labels[-TEST_NODES:]):
        part_share = torch.bincount(part, minlength=len(share)) / len(part)
        assert torch.allclose(part_share, share, atol=0.06)
        assert part_share.min() > 0


@pytest.mark.parametrize("homophily", [0.0, 0.5, 1.0])
def test_homophily_is_what_was_asked(homophily: float) -> None:
    graph = plant_citation_graph(PlantedCitationGraph(**SMALL, edge_homophily=homophily))
    assert share_inside_classes(graph) == pytest.approx(homophily, abs=1 / 120)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    class_sizes=st.lists(st.integers(20, 40), min_size=2, max_size=5).map(tuple),
    extra_edges=st.integers(0, 40),
    edge_homophily=st.floats(0, 1),
    words_per_node=st.floats(1, 10) | st.integers(1, 10),
    seed=st.integers(0, 2**63 - 1),
)
def test_any_accepted_settings_give_a_well_formed_graph(
    class_sizes: tuple[int, ...],
    extra_edges: int,
    edge_homophily: float,
    words_per_node: float,
    seed: int,
) -> None:
    nodes = sum(class_sizes)
    wanted = PlantedCitationGraph(
        nodes=nodes,
        undirected_edges=nodes + extra_edges,
        class_sizes=class_sizes,
        edge_homophily=edge_homophily,
        features=20,
        words_per_node=words_per_node,
        seed=seed,
    )
    graph = plant_citation_graph(wanted)
    assert_well_formed(graph, wanted)
    inside = round(share_inside_classes(graph) * wanted.undirected_edges)
    assert inside == wanted.same_class_edges


def test_a_seed_gives_the_same_tensors_and_another_seed_others() -> None:
    graphs = []
    for caller_seed, seed in ((1, 3), (2, 3), (2, 4)):
        torch.manual_seed(caller_seed)
        before = torch.get_rng_state()
        graphs.append(plant_citation_graph(PlantedCitationGraph(**SMALL, seed=seed)))
        assert torch.equal(torch.get_rng_state(), before)
    first, again, other = graphs
    for name in TENSORS:
        assert torch.equal(getattr(first, name), getattr(again, name))
        assert not torch.equal(getattr(first, name), getattr(other, name))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"nodes": 61}, "the sum of class_sizes, 60, as nodes"),
        ({"nodes": 31, "class_sizes": (1, 30)}, "two or more classes of two or more nodes in class_sizes"),
        ({"class_sizes": ()}, "two or more classes of two or more nodes in class_sizes"),
        ({"undirected_edges": 59}, "an edge or more per node"),
        ({"undirected_edges": 900}, "a quarter of the pairs inside the classes as edges, or fewer"),
        ({"undirected_edges": 300, "edge_homophily": 0.0}, "a quarter of the pairs between them as edges, or fewer"),
        ({"edge_homophily": 1.01}, "a share as edge_homophily"),
        ({"edge_homophily": float("nan")}, "a share as edge_homophily"),
        ({"features": 2}, "a feature or more per class"),
        ({"words_per_node": 0.5}, "1 word to half of the features as words_per_node"),
        ({"words_per_node": 21.0}, "1 word to half of the features as words_per_node"),
        ({"seed": -1}, "a seed from 0 to 2**63 - 1"),
    ],
)
def test_bad_settings_are_refused_with_a_sentence(change: dict[str, Any], expected: str) -> None:
    with pytest.raises(SettingError) as caught:
        PlantedCitationGraph(**(SMALL | change))
    assert str(caught.value).endswith(f" makes no citation graph, expected {expected}; change that setting")


def bayes_scores(words: Tensor, labels: Tensor) -> Tensor:
    """Log posterior of each class for each node, by naive Bayes on the training nodes' word counts."""
    one_hot = torch.nn.functional.one_hot(labels[:TRAINING_NODES]).float()
    counts = one_hot.T @ words[:TRAINING_NODES] + 1
    likelihood = (counts / counts.sum(dim=1, keepdim=True)).log()
    return words @ likelihood.T + one_hot.mean(dim=0).log()


@pytest.mark.parametrize("seed", [0, 1])
def test_words_tell_the_class_and_neighbours_tell_more(seed: int) -> None:
    graph = plant_citation_graph(PlantedCitationGraph(seed=seed))
    scores = bayes_scores(dense_words(graph), graph.labels)
    source, target = graph.edge_index
    with_neighbours = scores.index_add(0, source, scores[target])
    test_labels = graph.labels[-TEST_NODES:]
    majority, words_alone, both = (
        (guess[-TEST_NODES:] == test_labels).float().mean().item()
        for guess in (
            graph.labels.mode().values.expand(graph.shape[0]),
            scores.argmax(1),
            with_neighbours.argmax(1),
        )
    )
    assert majority < 0.4
    assert 0.65 < words_alone < 0.85
    assert both > words_alone + 0.05
    assert both < 0.95
