"""Planted proteins and molecules have the sizes and values of the real ones, are repeatable, and show their class."""

import pytest
import torch

from gnn.tasks import GraphCollection
from gnn.tasks.graph_splits import scaffold_split
from gnn.tasks.planted_graphs import BBBP_LIKE, PROTEINS_LIKE, PlantedGraphs, plant_graphs

# Mean size, edges a node, and the smallest and largest value of every feature, as measured on the real dataset.
PROTEINS = (PROTEINS_LIKE, 39.1, 1.86, [-538, 0, 0, 0], [798, 1, 1, 1])
BBBP = (BBBP_LIKE, 24.1, 1.08, [1, 0, 0, 4, 0, 0, 0, 0, 0], [53, 2, 4, 6, 4, 2, 6, 1, 1])
BOTH = pytest.mark.parametrize("wanted", [PROTEINS_LIKE, BBBP_LIKE], ids=["proteins", "bbbp"])


@pytest.mark.parametrize(
    ("wanted", "mean_size", "edges_per_node", "lowest", "highest"), [PROTEINS, BBBP], ids=["proteins", "bbbp"]
)
def test_graphs_have_the_sizes_and_values_of_the_real_ones(
    wanted: PlantedGraphs, mean_size: float, edges_per_node: float, lowest: list[int], highest: list[int]
) -> None:
    collection = plant_graphs(wanted)[0]
    features, (source, target) = collection.features, collection.edge_index
    nodes, sizes = len(features), collection.node_pointer.diff()
    assert torch.bincount(collection.labels).tolist() == list(wanted.class_sizes)
    assert sizes.float().mean().item() == pytest.approx(mean_size, rel=0.1)
    assert sizes.max() > 80
    assert len(source) / 2 / nodes == pytest.approx(edges_per_node, rel=0.1)
    key = target * nodes + source
    assert (key.diff() > 0).all()
    assert torch.equal((source * nodes + target).sort().values, key)
    assert (source != target).all()
    # An isolated node is a component of its own.
    assert 0 < (torch.bincount(target, minlength=nodes) == 0).sum() < 200
    assert features.dtype == torch.float32
    assert torch.equal(features, features.round())
    assert (features.amin(0) >= torch.tensor(lowest)).all()
    assert (features.amax(0) <= torch.tensor(highest)).all()


def test_the_attribute_of_proteins_has_far_outliers() -> None:
    attribute = plant_graphs(PROTEINS_LIKE)[0].features[:, 0]
    assert attribute.min() < -400
    assert attribute.max() > 700
    assert attribute.median().item() == pytest.approx(6, abs=1)


@BOTH
def test_a_seed_gives_the_same_tensors_and_another_seed_others(wanted: PlantedGraphs) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = plant_graphs(wanted)[0].tensors
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    again, other = plant_graphs(wanted)[0].tensors, plant_graphs(wanted, seed=1)[0].tensors
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)


def test_rows_of_one_molecule_are_equal_graphs_of_one_scaffold() -> None:
    collection, molecule, scaffold = plant_graphs(BBBP_LIKE)
    counts = torch.bincount(molecule)
    assert (counts.min(), counts.max()) == (1, 2)
    contradicting = 0
    for number in (counts == 2).nonzero().flatten():
        first, second = (collection.select(row[None]) for row in (molecule == number).nonzero().flatten())
        assert torch.equal(first.features, second.features)
        assert torch.equal(first.edge_index, second.edge_index)
        assert len(scaffold[molecule == number].unique()) == 1
        contradicting += int(first.labels != second.labels)
    assert 0 < contradicting < (counts == 2).sum()


def alike(collection: GraphCollection) -> list[float]:
    """Per class, the share of edges whose ends are of one kind."""
    source, target = collection.edge_index
    same = (collection.features[source, 1:] == collection.features[target, 1:]).all(1).double()
    labels = collection.select(torch.arange(len(collection.labels))).graph_of_node[target]
    return [same[collection.labels[labels] == label].mean().item() for label in (0, 1)]


@BOTH
def test_neighbours_tell_the_class(wanted: PlantedGraphs) -> None:
    shares = alike(plant_graphs(wanted)[0])
    assert abs(shares[0] - shares[1]) > 0.1


def test_the_scaffold_split_tests_on_fewer_molecules_of_class_1() -> None:
    collection, _, scaffold = plant_graphs(BBBP_LIKE)
    share = {name: collection.labels[part].double().mean() for name, part in vars(scaffold_split(scaffold)).items()}
    assert share["train"] > 0.75
    assert 0.5 < share["test"] < 0.7
