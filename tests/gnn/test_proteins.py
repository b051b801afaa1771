"""PROTEINS as PyG reads it, with a new split per seed or the one of the official code of HGP-SL."""

from pathlib import Path

import pytest
import torch

from gnn.artifacts import ArtifactStore
from gnn.tasks import DataSource, GraphClassification, load_task
from gnn.tasks.data_source import verify
from gnn.tasks.proteins import PROTEINS

RAW = Path(__file__).parents[2].parent / "shared" / "data" / PROTEINS.folder


@pytest.fixture(scope="module")
def raw() -> DataSource:
    if not RAW.is_dir():
        pytest.skip(f"no raw files of PROTEINS in {RAW}; put a PyG data root there")
    return DataSource("root", RAW)


@pytest.fixture(scope="module")
def proteins(raw: DataSource, store: ArtifactStore) -> GraphClassification:
    task = load_task("proteins", raw, store)
    assert isinstance(task, GraphClassification)
    return task


@pytest.fixture(scope="module")
def planted(store: ArtifactStore) -> GraphClassification:
    task = load_task("proteins", DataSource("planted"), store)
    assert isinstance(task, GraphClassification)
    return task


@pytest.fixture(params=["planted", "proteins"])
def task(request: pytest.FixtureRequest) -> GraphClassification:
    return request.getfixturevalue(request.param)


def test_the_raw_files_are_the_published_ones(raw: DataSource) -> None:
    assert raw.folder is not None
    verify(PROTEINS, raw.folder)


def test_statistics_of_proteins(proteins: GraphClassification) -> None:
    assert proteins.statistics == {
        "graphs": 1113,
        "nodes": 43471,
        "edges": 81044,
        "features": 4,
        "labels": 2,
        "nodes_per_graph": "4-620",
        "edges_per_graph": "5-1049",
    }
    assert torch.bincount(proteins.collection.labels).tolist() == [663, 450]


def test_features_are_an_attribute_as_it_is_and_a_one_hot_label(task: GraphClassification) -> None:
    features = task.collection.features
    assert features.dtype == torch.float32
    assert features.shape[1] == 4
    assert features[:, 1:].unique().tolist() == [0.0, 1.0]
    assert torch.equal(features[:, 1:].sum(1), torch.ones(len(features)))
    assert torch.equal(features[:, 0].round(), features[:, 0])


def test_features_of_proteins_are_not_scaled(proteins: GraphClassification) -> None:
    attribute = proteins.collection.features[:, 0]
    assert (attribute.min(), attribute.max(), attribute[0]) == (-538, 798, 23)
    assert proteins.collection.features[:, 1:].sum(0).tolist() == [21151, 20931, 1389]


def test_edges_go_both_ways_without_loops_or_duplicates(task: GraphClassification) -> None:
    source, target = task.collection.edge_index
    nodes = len(task.collection.features)
    key = target * nodes + source
    assert (key.diff() > 0).all()
    assert torch.equal((source * nodes + target).sort().values, key)
    assert (source != target).all()


def test_the_first_graph_is_that_of_the_file(proteins: GraphClassification, raw: DataSource) -> None:
    assert raw.folder is not None
    batch = proteins.collection.select(torch.tensor([1]))
    text = (raw.folder / "PROTEINS_A.txt").read_text().splitlines()
    first, size = int(proteins.collection.node_pointer[1]), len(batch.features)
    pairs = {tuple(int(number) - 1 - first for number in line.split(",")) for line in text[:1000]}
    inside = {(source, target) for source, target in pairs if 0 <= source < size and 0 <= target < size}
    assert set(map(tuple, batch.edge_index.T.tolist())) == inside


def test_the_clean_protocol_splits_anew_for_every_seed(store: ArtifactStore, planted: GraphClassification) -> None:
    other = load_task("proteins", DataSource("planted"), store, seed=1)
    assert isinstance(other, GraphClassification)
    for split in (planted.split, other.split):
        assert (len(split.train), len(split.validation), len(split.test)) == (890, 111, 112)
        assert torch.cat([split.train, split.validation, split.test]).sort().values.tolist() == list(range(1113))
    assert planted.split.test.tolist() != other.split.test.tolist()
    assert planted.sha256 != other.sha256


def test_the_paper_protocol_has_the_split_of_the_official_code(raw: DataSource, store: ArtifactStore) -> None:
    tasks = [load_task("proteins", raw, store, "paper", seed) for seed in (0, 1)]
    assert tasks[0].sha256 == tasks[1].sha256
    unused = torch.zeros(0)
    assert tasks[0].other_scores(unused, unused)["majority_class"] == pytest.approx(0.6964, abs=1e-4)
    assert isinstance(tasks[0], GraphClassification)
    torch.manual_seed(777)
    assert tasks[0].split.train.tolist() == torch.randperm(1113)[:890].tolist()


def test_processing_writes_nothing_into_the_data_root(proteins: GraphClassification, raw: DataSource) -> None:
    assert raw.folder is not None
    assert proteins.source == "root"
    assert sorted(path.name for path in raw.folder.iterdir()) == sorted(PROTEINS.files)
    assert [path.name for path in raw.folder.parent.iterdir()] == ["raw"]
