"""What models, records and baselines rely on in every task, on planted data."""

from functools import cache

import pytest

from gnn.artifacts import ArtifactStore
from gnn.tasks import TASKS, DataSource, Task, load_task

NAMES = sorted(TASKS)
TABLE_1 = ["graphs", "nodes", "edges", "features", "labels"]


class Loader:
    """Loads each planted task once for every protocol and seed."""

    def __init__(self, store: ArtifactStore) -> None:
        self.store = store
        self.load = cache(self._load)

    def _load(self, name: str, protocol: str = "clean", seed: int = 0) -> Task:
        return load_task(name, DataSource("planted"), self.store, protocol, seed)


@pytest.fixture(scope="module")
def loader(tmp_path_factory: pytest.TempPathFactory) -> Loader:
    return Loader(ArtifactStore(tmp_path_factory.mktemp("store")))


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
