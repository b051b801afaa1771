"""A small planted task, models for it and toy files, that the tests of the library share."""

import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gnn.artifacts import ArtifactStore
from gnn.determinism import deterministic
from gnn.layers import CsrMatrix
from gnn.models import GraphModel, build_model_for
from gnn.tasks import DataSearch, Graph, NodeClassification, Split
from gnn.tasks.planted import PlantedCitationGraph, plant_citation_graph
from tests.gnn.toy_files import Publisher, put_files

SMALL_GRAPH = PlantedCitationGraph(
    nodes=210, undirected_edges=400, class_sizes=(30,) * 7, features=80, words_per_node=8.0
)
DATA_ROOT = Path(__file__).parents[2].parent / "shared" / "data"


def build_small_task() -> NodeClassification:
    """210 nodes, 400 edges, 80 words, 7 classes; 110 nodes to train on, 50 to validate, 50 to test."""
    tensors = plant_citation_graph(SMALL_GRAPH)
    value = torch.ones(len(tensors.feature_row))
    features = CsrMatrix.from_coordinates(tensors.feature_row, tensors.feature_column, value, tensors.shape)
    return NodeClassification(
        name="planted-small",
        source="planted",
        protocol="clean",
        graph=Graph(features, tensors.edge_index, tensors.labels),
        split=Split(*torch.arange(tensors.shape[0]).split([110, 50, 50])),
        classes=7,
    )


def build_small_model(task: NodeClassification, seed: int) -> GraphModel:
    """The SplineNet of a seed, sized for the task and not trained."""
    with deterministic(seed):
        return build_model_for("spline", task)


@pytest.fixture(scope="session")
def small_task() -> NodeClassification:
    """The small task; nobody changes its tensors."""
    return build_small_task()


@pytest.fixture(scope="session")
def new_model(small_task: NodeClassification) -> Callable[[int], GraphModel]:
    """A function that gives the fresh model of a seed."""
    return lambda seed: build_small_model(small_task, seed)


@pytest.fixture(scope="session")
def data_root() -> Path:
    """The data root that holds Cora's raw files; without them nothing can be said about Cora itself."""
    if not (DATA_ROOT / "Planetoid" / "Cora" / "raw").is_dir():
        pytest.skip(f"no raw files of Cora below {DATA_ROOT}; put a PyG data root there")
    return DATA_ROOT


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> ArtifactStore:
    """Keeps the tasks that are read from raw files, which takes seconds, for all tests of this process."""
    return ArtifactStore(tmp_path_factory.mktemp("store"))


@pytest.fixture
def search(tmp_path: Path) -> DataSearch:
    """Looks for data below a folder that has none yet."""
    (tmp_path / "work" / "project").mkdir(parents=True)
    return DataSearch("auto", base=tmp_path / "work" / "project", cache=tmp_path / "cache", announce=lambda _: None)


@pytest.fixture
def publisher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Publisher:
    """Stands for the network, with the toy files."""
    publisher = Publisher(put_files(tmp_path / "publisher"))
    monkeypatch.setattr(urllib.request, "urlopen", publisher.urlopen)
    return publisher
