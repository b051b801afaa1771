"""Planted proteins and molecules have the measured statistics, are repeatable, and can be learned from."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gnn.errors import SettingError
from gnn.tasks import GraphCollection
from gnn.tasks.graph_splits import random_split, scaffold_split
from gnn.tasks.planted_molecule import ELEMENTS, GROUPS, PlantedMolecule
from gnn.tasks.planted_molecules import PlantedMolecules, plant_molecules
from gnn.tasks.planted_proteins import PlantedProteins, plant_proteins
from gnn.tasks.planted_quantiles import Quantiles


@pytest.fixture(scope="module")
def proteins() -> GraphCollection:
    return plant_proteins(PlantedProteins())


@pytest.fixture(scope="module")
def molecules() -> tuple[GraphCollection, Tensor]:
    return plant_molecules(PlantedMolecules())


def degrees(collection: GraphCollection) -> Tensor:
    return torch.bincount(collection.edge_index[1], minlength=len(collection.features))


def assert_well_formed(collection: GraphCollection, class_sizes: tuple[int, int]) -> None:
    source, target = collection.edge_index
    nodes = len(collection.features)
    key = target * nodes + source
    assert (key.diff() > 0).all()
    assert torch.equal((source * nodes + target).sort().values, key)
    assert (source != target).all()
    assert torch.bincount(collection.labels).tolist() == list(class_sizes)
    assert collection.features.dtype == torch.float32
    assert collection.features.isfinite().all()
    assert collection.node_pointer[-1] == nodes
    assert collection.node_pointer.diff().min() >= 2


def test_proteins_have_the_sizes_and_degrees_of_the_real_ones(proteins: GraphCollection) -> None:
    assert_well_formed(proteins, (663, 450))
    sizes, degree = proteins.node_pointer.diff(), degrees(proteins)
    assert sizes.float().mean().item() == pytest.approx(39.1, rel=0.06)
    assert [sizes[proteins.labels == label].median().item() for label in (0, 1)] == pytest.approx([34, 16], abs=1)
    assert degree.float().mean().item() == pytest.approx(3.73, rel=0.05)
    assert 0 < (degree == 0).sum() < 20


def test_proteins_have_the_features_of_the_real_ones(proteins: GraphCollection) -> None:
    attribute, kinds = proteins.features[:, 0], proteins.features[:, 1:]
    assert torch.equal(kinds.sum(1), torch.ones(len(kinds)))
    assert kinds.mean(0).tolist() == pytest.approx([0.49, 0.48, 0.03], abs=0.03)
    assert attribute.median().item() == pytest.approx(6, abs=1)
    assert attribute.min() < -20
    assert attribute.max() > 100


def test_molecules_have_the_statistics_of_the_real_ones(molecules: tuple[GraphCollection, Tensor]) -> None:
    collection, scaffold = molecules
    assert_well_formed(collection, (479, 1560))
    sizes, degree = collection.node_pointer.diff(), degrees(collection)
    assert sizes.float().mean().item() == pytest.approx(24.1, rel=0.04)
    assert degree.float().mean().item() == pytest.approx(2.16, rel=0.05)
    assert (degree == 0).sum().item() == pytest.approx(140, rel=0.5)
    assert degree.max() == 4
    counts = torch.bincount(scaffold)
    assert (len(counts), counts.min()) == (1025, 1)
    assert counts.max().item() == pytest.approx(137, rel=0.1)
    assert (counts == 1).sum().item() == pytest.approx(763, rel=0.02)


@pytest.mark.parametrize("seed", [0, 1])
def test_valences_add_up(seed: int) -> None:
    collection, _ = plant_molecules(PlantedMolecules(class_sizes=(60, 120), scaffolds=90, seed=seed))
    number, chirality, degree, charge, hydrogens, radicals, hybridisation, aromatic, ring = collection.features.T
    heavy = degrees(collection)
    assert torch.equal(degree, heavy + hydrogens)
    assert hydrogens.min() >= 0
    valence = {float(atomic): bonds for atomic, bonds in ELEMENTS.values()}
    limit = torch.tensor([valence[atom] for atom in number.tolist()])
    saturated = (hybridisation == 4) & (charge == 5)
    assert torch.equal(degree[saturated], limit[saturated].float())
    assert (degree[hybridisation == 3] < limit[hybridisation == 3]).logical_or(number[hybridisation == 3] == 16).all()
    assert torch.equal(charge == 4, heavy == 0)
    assert (charge == 4).any()
    assert (degree[charge == 4] == 0).all()
    assert (hybridisation[aromatic == 1] == 3).all()
    assert (ring[aromatic == 1] == 1).all()
    assert (heavy[ring == 1] >= 2).all()
    assert (number[chirality > 0] == 6).all()
    assert (heavy[chirality > 0] >= 3).all()
    assert (radicals == 0).all()


@settings(deadline=None, max_examples=20, derandomize=True)
@given(seed=st.integers(0, 10_000), rings=st.integers(1, 8))
def test_a_molecule_can_always_grow(seed: int, rings: int) -> None:
    random = np.random.default_rng(seed)
    molecule = PlantedMolecule()
    for _ in range(rings):
        molecule.fuse_ring(random)
    atoms = len(molecule.elements)
    for group in GROUPS.values():
        molecule.attach(group, random)
    assert len(molecule.elements) == atoms + sum(map(len, GROUPS.values()))
    assert min(molecule.free(atom) for atom in range(len(molecule.elements))) >= 0
    pairs = [tuple(sorted(bond)) for bond in molecule.bonds]
    assert len(set(pairs)) == len(pairs) == len(molecule.elements) - 1 + rings


def test_a_copy_grows_on_its_own() -> None:
    random = np.random.default_rng(0)
    molecule = PlantedMolecule()
    molecule.add_ring(random)
    before = molecule.copy()
    molecule.attach(GROUPS["acid"], random)
    molecule.add_ion()
    assert before != molecule
    assert len(before.bonds) == len(before.elements) == len(molecule.elements) - 4


SMALL = (PlantedProteins(class_sizes=(9, 7)), PlantedMolecules(class_sizes=(9, 7), scaffolds=8))


def tensors_of(wanted: PlantedProteins | PlantedMolecules) -> dict[str, Tensor]:
    if isinstance(wanted, PlantedProteins):
        return plant_proteins(wanted).tensors
    collection, scaffold = plant_molecules(wanted)
    return collection.tensors | {"scaffold": scaffold}


@pytest.mark.parametrize("wanted", SMALL, ids=lambda wanted: type(wanted).__name__)
def test_a_seed_gives_the_same_tensors_and_another_seed_others(wanted: PlantedProteins | PlantedMolecules) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = tensors_of(wanted)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    again = tensors_of(wanted)
    assert all(torch.equal(first[name], again[name]) for name in first)
    changed = PlantedProteins((9, 7), seed=1) if isinstance(wanted, PlantedProteins) else PlantedMolecules((9, 7), 8, 1)
    other = tensors_of(changed)
    assert not torch.equal(first["features"], other["features"])
    assert not torch.equal(first["labels"], other["labels"])


@pytest.mark.parametrize("scaffolds", [1, 2, 16])
def test_any_number_of_scaffolds_up_to_one_a_molecule(scaffolds: int) -> None:
    collection, scaffold = plant_molecules(PlantedMolecules((9, 7), scaffolds))
    assert scaffold.unique().tolist() == list(range(scaffolds))
    assert_well_formed(collection, (9, 7))


@pytest.mark.parametrize(
    ("kind", "change", "sentence"),
    [
        (PlantedProteins, {"class_sizes": (0, 5)}, r"class_sizes is \(0, 5\), expected a graph or more of each class"),
        (PlantedProteins, {"seed": -1}, r"seed is -1, expected a whole number from 0 to 2\*\*63 - 1; choose"),
        (PlantedMolecules, {"class_sizes": (5, 0)}, r"class_sizes is \(5, 0\), expected a graph or more of each class"),
        (PlantedMolecules, {"scaffolds": 0}, r"scaffolds is 0, expected 1 to 2039, one a molecule; give a number"),
        (PlantedMolecules, {"scaffolds": 2040}, r"scaffolds is 2040, expected 1 to 2039"),
        (PlantedMolecules, {"seed": 2**63}, r"seed is 9223372036854775808, expected a whole number"),
    ],
)
def test_bad_settings_are_refused_with_a_sentence(kind: type, change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SettingError, match=sentence):
        kind(**change)


def test_quantiles_are_met_and_joined_by_straight_lines() -> None:
    quantiles = Quantiles((0.0, 0.5, 1.0), (0.0, 10.0, 110.0))
    assert quantiles.at(torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0])).tolist() == [0.0, 5.0, 10.0, 60.0, 110.0]
    spread = quantiles.spread(4, torch.Generator().manual_seed(0))
    assert sorted(spread.tolist()) == [2.5, 7.5, 35.0, 85.0]
    assert len(quantiles.spread(0, torch.Generator())) == 0


def mean_features(collection: GraphCollection) -> Tensor:
    batch = collection.select(torch.arange(len(collection.labels)))
    totals = torch.zeros(len(batch.labels), batch.features.shape[1]).index_add(0, batch.graph_of_node, batch.features)
    return totals / batch.node_pointer.diff()[:, None]


def mean_products(collection: GraphCollection, centres: Tensor) -> Tensor:
    """Mean over a graph's edges of the products of the features at their two ends, less the centre of the graph."""
    batch = collection.select(torch.arange(len(collection.labels)))
    features = batch.features - centres[batch.graph_of_node]
    features = (features / features.std(0).clamp(min=1e-6)).clamp(-3, 3)
    source, target = batch.edge_index
    products = (features[source][:, :, None] * features[target][:, None, :]).flatten(1)
    totals = torch.zeros(len(batch.labels), products.shape[1]).index_add(0, batch.graph_of_node[target], products)
    return totals / collection.edge_pointer.diff().clamp(min=1)[:, None]


def linear_accuracy(inputs: Tensor, labels: Tensor) -> float:
    """Mean test accuracy of ridge regression on two random splits."""
    scores = []
    for seed in (0, 1):
        split = random_split(len(labels), seed)
        train = inputs[split.train]
        scaled = (inputs - train.mean(0)) / train.std(0).clamp(min=1e-6)
        scaled = torch.cat([scaled, torch.ones(len(scaled), 1)], dim=1).double()
        x, y = scaled[split.train], 2.0 * labels[split.train].double() - 1
        weight = torch.linalg.solve(x.T @ x + 10 * torch.eye(x.shape[1]), x.T @ y)
        scores.append(((scaled[split.test] @ weight > 0) == labels[split.test].bool()).double().mean().item())
    return sum(scores) / len(scores)


def test_neighbours_in_proteins_of_class_0_are_more_alike(proteins: GraphCollection) -> None:
    batch = proteins.select(torch.arange(len(proteins.labels)))
    helix = (batch.features - mean_features(proteins)[batch.graph_of_node])[:, 1]
    source, target = batch.edge_index
    alike = []
    for label in (0, 1):
        inside = batch.labels[batch.graph_of_node[target]] == label
        alike.append(
            (helix[source] * helix[target])[inside].mean().item() / helix[target][inside].square().mean().item()
        )
    assert alike == pytest.approx([0.36, 0.11], abs=0.04)


def test_edges_of_proteins_tell_what_mean_features_do_not(proteins: GraphCollection) -> None:
    features = mean_features(proteins)
    alone = linear_accuracy(features, proteins.labels)
    with_edges = linear_accuracy(torch.cat([features, mean_products(proteins, features)], dim=1), proteins.labels)
    assert 0.6 < alone < 0.75
    assert alone + 0.02 < with_edges < 0.9


def test_bonds_of_molecules_tell_what_mean_features_do_not(molecules: tuple[GraphCollection, Tensor]) -> None:
    collection, _ = molecules
    features = mean_features(collection)
    alone = linear_accuracy(features, collection.labels)
    centres = features.mean(0).expand_as(features)
    with_bonds = linear_accuracy(torch.cat([features, mean_products(collection, centres)], dim=1), collection.labels)
    assert 0.7 < alone < 0.8
    assert alone + 0.03 < with_bonds < 0.95


def test_the_scaffold_split_of_molecules_tests_on_fewer_of_class_1(molecules: tuple[GraphCollection, Tensor]) -> None:
    collection, scaffold = molecules
    split = scaffold_split(scaffold)
    share = {name: collection.labels[part].double().mean().item() for name, part in vars(split).items()}
    assert share["train"] > 0.75
    assert 0.5 < share["test"] < 0.7
