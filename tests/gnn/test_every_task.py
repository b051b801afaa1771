"""What models, records and baselines rely on in every task, on planted data."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch

from gnn.artifacts import ArtifactStore
from gnn.tasks import (
    TASKS,
    DataSource,
    GraphClassification,
    LinkPrediction,
    NodeClassification,
    Task,
    load_task,
)
from tests.gnn.given_graphs import pyg_of

NAMES = sorted(TASKS)
SNAPSHOTS = Path(__file__).parents[2] / "snapshots"
TABLE_1 = ["graphs", "nodes", "edges", "features", "labels"]


class Loader:
    """Loads each planted task once for every protocol and seed."""

    def __init__(self, store: ArtifactStore) -> None:
        self.store = store
        self.load = cache(self._load)

    def _load(self, name: str, protocol: str = "clean", seed: int = 0) -> Task:
        return load_task(name, DataSource("planted"), self.store, protocol, seed)


@pytest.fixture(scope="module")
def loader(store: ArtifactStore) -> Loader:
    return Loader(store)


@pytest.mark.parametrize("name", NAMES)
def test_a_protocol_is_the_papers_only_where_it_makes_a_difference(loader: Loader, name: str) -> None:
    clean, paper = loader.load(name), loader.load(name, "paper")
    assert clean.protocol == "clean"
    assert (paper.protocol == "paper") == (paper.sha256 != clean.sha256)


@pytest.mark.parametrize("name", NAMES)
def test_planted_data_is_never_called_by_the_real_name(loader: Loader, name: str) -> None:
    task = loader.load(name)
    assert (task.name, task.source) == (f"planted-{name}", "planted")


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_has_one_split(loader: Loader, name: str) -> None:
    again = load_task(name, DataSource("planted"), loader.store)
    assert again.sha256 == loader.load(name).sha256
    assert again.to("cpu").sha256 == again.sha256


@pytest.mark.parametrize("name", NAMES)
def test_the_statistics_begin_with_those_of_table_1(loader: Loader, name: str) -> None:
    task = loader.load(name)
    assert list(task.statistics)[:5] == TABLE_1
    assert all(type(task.statistics[statistic]) is int for statistic in TABLE_1)
    assert task.statistics["features"] == task.feature_count
    assert task.output_count == (1 if task.kind == "link-prediction" else task.statistics["labels"])


@pytest.mark.parametrize("name", NAMES)
def test_the_batch_and_the_score_have_names(loader: Loader, name: str) -> None:
    task = loader.load(name)
    assert task.score_name == ("roc_auc" if task.kind == "link-prediction" else "accuracy")
    assert any(character.isdigit() for character in task.inference_batch)


@pytest.mark.parametrize("name", ["cora-node", "cora-link", "proteins", "bbbp", "bbbp-scaffold"])
def test_registered_tasks_keep_their_fingerprints(data_root: Path, store: ArtifactStore, name: str) -> None:
    snapshot = next(path for path in sorted(SNAPSHOTS.glob(f"{name}.*.dense.json")))
    dataset = TASKS[name].dataset
    assert dataset is not None
    source = DataSource("root", data_root / dataset.folder)
    for seed, sha256 in list(json.loads(snapshot.read_text())["task_sha256"].items())[:2]:
        assert load_task(name, source, store, seed=int(seed)).sha256 == sha256


@pytest.mark.parametrize("name", NAMES)
def test_a_plain_module_can_be_called_with_registered_tasks(loader: Loader, name: str) -> None:
    task = loader.load(name)
    pyg = pyg_of(task, "test")
    assert pyg is pyg_of(task, "test")
    assert pyg.x.shape[1] == task.feature_count
    if isinstance(task, GraphClassification):
        own = task.batch("test")
        assert torch.equal(pyg.x, own.features)
        assert torch.equal(pyg.edge_index, own.edge_index)
        assert torch.equal(pyg.batch, own.graph_of_node)
        assert torch.equal(pyg.y, task.targets("test"))
        assert pyg_of(replace(task, split=replace(task.split, test=task.split.test[:1])), "test").num_graphs == 1
    else:
        assert isinstance(task, NodeClassification | LinkPrediction)
        edges = task.graph.edge_index if isinstance(task, NodeClassification) else task.edge_index
        assert len(pyg.x) == task.statistics["nodes"]
        assert torch.equal(pyg.edge_index, edges)
