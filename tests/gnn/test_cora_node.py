"""Cora-Node has the paper's split and statistics, and its planted twin never passes for it."""

from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
import torch
from torch_geometric.io import read_planetoid_data

from gnn.artifacts import ArtifactStore
from gnn.errors import SettingError
from gnn.tasks import PARTS, DataSource, Graph, NodeClassification, Split, fingerprint, load_task
from gnn.tasks.cora import CORA
from gnn.tasks.data_source import verify

TABLE_1 = {"graphs": 1, "nodes": 2708, "edges": 5278, "features": 1433, "labels": 7}


def load_cora_node(source: DataSource, store: ArtifactStore) -> NodeClassification:
    task = load_task("cora-node", source, store)
    assert isinstance(task, NodeClassification)
    return task


@pytest.fixture(scope="module")
def planted(store: ArtifactStore) -> NodeClassification:
    return load_cora_node(DataSource("planted"), store)


@pytest.fixture(scope="module")
def cora(data_root: Path, store: ArtifactStore) -> NodeClassification:
    return load_cora_node(DataSource("root", data_root / CORA.folder), store)


@pytest.fixture(params=["planted", "cora"])
def task(request: pytest.FixtureRequest) -> NodeClassification:
    return request.getfixturevalue(request.param)


def test_the_split_is_by_index(task: NodeClassification) -> None:
    split = task.split
    assert split.train.tolist() == list(range(1708))
    assert split.validation.tolist() == list(range(1708, 2208))
    assert split.test.tolist() == list(range(2208, 2708))


def test_statistics_are_those_of_table_1(task: NodeClassification) -> None:
    assert task.statistics == TABLE_1


def test_features_are_ones_and_edges_go_both_ways(task: NodeClassification) -> None:
    features, edge_index = task.graph.features, task.graph.edge_index
    assert features.value.unique().tolist() == [1.0]
    assert features.to_dense().max() == 1
    key = edge_index[0] * 2708 + edge_index[1]
    assert len(key.unique()) == len(key) == 10556
    assert torch.equal((edge_index[1] * 2708 + edge_index[0]).sort().values, key.sort().values)
    assert task.graph.labels.unique().tolist() == list(range(7))


def test_cora_has_its_known_words_and_classes(cora: NodeClassification) -> None:
    assert len(cora.graph.features.value) == 49216
    assert torch.bincount(cora.graph.labels).tolist() == [351, 217, 418, 818, 426, 298, 180]


def test_its_tensors_are_those_that_pyg_reads(cora: NodeClassification, data_root: Path) -> None:
    data = read_planetoid_data(str(data_root / CORA.folder), "cora")
    assert torch.equal(cora.graph.features.to_dense(), cast(torch.Tensor, data.x))
    assert torch.equal(cora.graph.edge_index, cast(torch.Tensor, data.edge_index))
    assert torch.equal(cora.graph.labels, cast(torch.Tensor, data.y))
    assert cora.sha256 == "6d59d548cdf56eb2fee00b9d4261f48a099f698ce167f68716735fa8c9af3c83"


def test_all_seeds_are_the_same_here(planted: NodeClassification, store: ArtifactStore) -> None:
    assert load_task("cora-node", DataSource("planted"), store, seed=3).sha256 == planted.sha256


def test_raw_files_are_the_published_ones(data_root: Path) -> None:
    verify(CORA, data_root / CORA.folder)


def test_two_loads_of_cora_have_the_same_fingerprint(cora: NodeClassification, data_root: Path, tmp_path: Path) -> None:
    again = load_task("cora-node", DataSource("download", data_root / CORA.folder), ArtifactStore(tmp_path))
    assert again.sha256 == cora.sha256


def test_processing_writes_nothing_into_the_data_root(data_root: Path, tmp_path: Path) -> None:
    before = sorted(path.name for path in data_root.rglob("*"))
    load_task("cora-node", DataSource("root", data_root / CORA.folder), ArtifactStore(tmp_path))
    assert sorted(path.name for path in data_root.rglob("*")) == before


def test_one_label_changes_the_fingerprint(planted: NodeClassification) -> None:
    labels = planted.graph.labels.clone()
    labels[17] = (labels[17] + 1) % 7
    graph = planted.graph
    assert replace(planted, graph=Graph(graph.features, graph.edge_index, labels)).sha256 != planted.sha256


def test_a_moved_split_changes_the_fingerprint(planted: NodeClassification) -> None:
    split = planted.split
    moved = Split(split.train, split.test, split.validation)
    assert replace(planted, split=moved).sha256 != planted.sha256
    shorter = Split(split.train[:-1], split.validation, split.test)
    assert replace(planted, split=shorter).sha256 != planted.sha256


def test_an_edge_or_a_word_changes_the_fingerprint(planted: NodeClassification) -> None:
    graph = planted.graph
    fewer = Graph(graph.features, graph.edge_index[:, 2:], graph.labels)
    assert replace(planted, graph=fewer).sha256 != planted.sha256
    louder = Graph(graph.features.with_value(graph.features.value * 2), graph.edge_index, graph.labels)
    assert replace(planted, graph=louder).sha256 != planted.sha256


def test_a_fingerprint_sees_names_types_shapes_and_bits_but_no_order() -> None:
    one, zero = torch.ones(2, 3), torch.zeros(4)
    base = fingerprint({"a": one, "b": zero})
    assert fingerprint({"b": zero, "a": one}) == base
    others = [
        {"a": one, "c": zero},
        {"a": one.reshape(3, 2), "b": zero},
        {"a": one, "b": zero.to(torch.int32)},
        {"a": one, "b": -zero},
        {"a": one},
    ]
    assert len({base, *(fingerprint(tensors) for tensors in others)}) == 6


def test_sizes_and_names_are_those_that_models_and_records_ask_for(planted: NodeClassification) -> None:
    assert (planted.kind, planted.score_name) == ("node-classification", "accuracy")
    assert (planted.feature_count, planted.output_count) == (1433, 7)
    assert planted.inference_batch == "full graph, 2708 nodes"


def test_an_unknown_protocol_is_refused(store: ArtifactStore) -> None:
    with pytest.raises(SettingError, match=r"^unknown protocol 'dirty'; valid are: clean, paper$"):
        load_task("cora-node", DataSource("planted"), store, "dirty")


def test_loss_and_score_are_those_of_the_outputs_of_one_part(planted: NodeClassification) -> None:
    labels = planted.graph.labels
    outputs = {
        part: torch.nn.functional.one_hot(labels[getattr(planted.split, part)], 7).float() * 20 for part in PARTS
    }
    outputs["test"][:100] = outputs["test"][:100].roll(1, dims=1)
    scores = {part: planted.score(outputs[part], part) for part in PARTS}
    assert scores == {"train": 1.0, "validation": 1.0, "test": 0.8}
    expected = torch.nn.functional.cross_entropy(outputs["test"], labels[planted.split.test])
    assert planted.loss(outputs["test"], "test") == expected > 1
    assert planted.loss(outputs["train"], "train") < 1e-6
    assert planted.other_scores(outputs["test"], outputs["validation"]) == {}
