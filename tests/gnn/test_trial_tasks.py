"""A case is trained, split and scored as its task, its protocol and its seed say."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import gnn.compression.retraining
import gnn.trial
from gnn.artifacts import ArtifactStore
from gnn.case import Case
from gnn.compression import Dense, GlobalMagnitude, Masks
from gnn.layers import CsrMatrix
from gnn.models import MODELS, GraphModel, LinkPredictor, RegisteredModel
from gnn.tasks import DataSource, LinkPrediction, Task
from gnn.training import Fitted, evaluate
from gnn.training_settings import Recipe, TrainingSettings
from gnn.trial import BaseModel, RunContext, Trial

PLANTED = {"cora-link": DataSource("planted"), "cora-node": DataSource("planted")}
NODE = Case("planted-cora-node", "spline", Dense())
TUNED = Case("planted-cora-node", "spline", GlobalMagnitude(0.8), fine_tune=True)
SETTINGS = TrainingSettings(0.01, 5e-3, epochs=4, patience=4)
SHORT = Recipe(SETTINGS, replace(SETTINGS, epochs=2))


def base_of(case: Case, seed: int, run_context: RunContext) -> BaseModel:
    return Trial(case, seed, run_context).base


@dataclass(frozen=True)
class WordSumSettings:
    in_channels: int

    @classmethod
    def for_task(cls, task: Task) -> "WordSumSettings":
        return cls(task.feature_count)


class WordSum(LinkPredictor):
    """The smallest link predictor: a node is the sum of its words' vectors."""

    def __init__(self, settings: WordSumSettings) -> None:
        super().__init__()
        self.settings = settings
        self.vectors = nn.Parameter(torch.randn(settings.in_channels, 8))
        self.register_buffer("calls", torch.zeros(5))

    def prepare(self, task: LinkPrediction) -> CsrMatrix:
        return task.features

    def forward(self, features: CsrMatrix) -> Tensor:
        return features @ self.vectors


@pytest.fixture(autouse=True)
def fits(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str, int]]]:
    """Task, protocol and seed of every base model that was trained, in a few epochs, since the test began."""
    trained: list[tuple[str, str, int]] = []
    real = gnn.trial.fit

    def note(model: GraphModel, task: Task, settings: TrainingSettings, seed: int) -> Fitted:
        trained.append((task.name, task.protocol, seed))
        return real(model, task, settings, seed)

    monkeypatch.setattr(gnn.trial, "fit", note)
    word_sum = RegisteredModel(WordSum, WordSumSettings, ("link-prediction",), SHORT)
    spline = replace(MODELS["spline"], recipe=SHORT)
    with MODELS.temporarily("word-sum", word_sum), MODELS.temporarily("spline", spline):
        yield trained


@pytest.fixture
def link() -> Case:
    return Case("planted-cora-link", "word-sum", Dense())


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> RunContext:
    """A run_context whose tasks are loaded only once; what is trained in it is left for the tests after."""
    return RunContext(ArtifactStore(tmp_path_factory.mktemp("store")), PLANTED)


@pytest.fixture
def run_context(tmp_path: Path) -> RunContext:
    return RunContext(ArtifactStore(tmp_path), PLANTED)


def test_a_link_case_goes_through_the_whole_pipe(link: Case, data: RunContext) -> None:
    outcome = Trial(link, 1, data).run()
    task = data.task("cora-link", 1)
    evaluation = evaluate(outcome.model, task)
    assert (outcome.accuracy, outcome.other_scores) == (evaluation.score, evaluation.others)
    assert outcome.accuracy == outcome.dense_accuracy > 0.5
    assert outcome.other_scores.keys() == {
        "average_precision",
        "accuracy_at_validation_threshold",
        "accuracy_at_one_half",
    }
    assert (outcome.parameters, outcome.state_entries) == (1433 * 8, 1433 * 8 + 5)
    assert 1 <= outcome.best_epoch <= outcome.epochs == 4


def test_a_seed_has_its_own_split_and_is_loaded_once(data: RunContext) -> None:
    first, other = data.task("cora-link", 0), data.task("cora-link", 1)
    assert isinstance(first, LinkPrediction)
    assert isinstance(other, LinkPrediction)
    assert not torch.equal(first.test.positive, other.test.positive)
    assert data.task("cora-link", 0) is first
    assert data.task("cora-link") is first


def test_a_run_is_trained_and_scored_on_the_split_of_its_seed(
    link: Case, data: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[tuple[str, str]] = []

    def note(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def noted(model: GraphModel, task: Task, *arguments: object) -> object:
            used.append((name, task.sha256))
            return real(model, task, *arguments)

        return noted

    for name in ("fit", "evaluate"):
        monkeypatch.setattr(gnn.trial, name, note(name, getattr(gnn.trial, name)))
    Trial(link, 3, data).run()
    split = data.task("cora-link", 3).sha256
    assert used == [("fit", split), ("evaluate", split), ("evaluate", split)]


def test_a_model_is_trained_again_under_a_protocol_that_makes_a_difference(
    link: Case, run_context: RunContext, fits: list[tuple[str, str, int]]
) -> None:
    for protocol in ("clean", "paper", "clean", "paper"):
        base_of(link, 2, replace(run_context, protocol=protocol))
    assert fits == [("planted-cora-link", "clean", 2), ("planted-cora-link", "paper", 2)]


def test_a_model_is_not_trained_again_where_both_protocols_are_the_same(
    run_context: RunContext, fits: list[tuple[str, str, int]]
) -> None:
    for protocol in ("clean", "paper"):
        base_of(NODE, 2, replace(run_context, protocol=protocol))
    assert fits == [("planted-cora-node", "clean", 2)]


def test_a_model_is_trained_and_fine_tuned_by_its_recipe(
    run_context: RunContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Recipe(replace(SETTINGS, epochs=3), replace(SETTINGS, epochs=1))
    asked: list[TrainingSettings] = []
    real = gnn.compression.retraining.fine_tune

    def note(model: GraphModel, task: Task, masks: Masks, settings: TrainingSettings, seed: int) -> Fitted:
        asked.append(settings)
        return real(model, task, masks, settings, seed)

    monkeypatch.setattr(gnn.compression.retraining, "fine_tune", note)
    with MODELS.temporarily("spline", replace(MODELS["spline"], recipe=own)):
        assert Trial(TUNED, 0, run_context).run().epochs == 3
    assert asked == [own.fine_tuning]


OWN_FILES = {
    "own_net.py": """
import torch

from gnn.models import LinkPredictor
from own_parts import scaled


class OwnNet(LinkPredictor):
    def __init__(self, settings):
        super().__init__()
        self.settings = settings
        self.vectors = torch.nn.Parameter(torch.randn(settings.in_channels, 8))

    def prepare(self, task):
        return task.features

    def forward(self, features):
        return scaled(features @ self.vectors)
""",
    "own_parts.py": "def scaled(x):\n    return 2 * x\n",
    "own_notes.py": "x = 1\n",
}


@pytest.mark.parametrize(
    ("edit", "trainings"),
    [
        (("own_net.py", "scaled(features", "3 * scaled(features"), 2),
        (("own_parts.py", "2", "3"), 2),
        (("own_parts.py", "    return", "    # Twice as large.\n    return"), 1),
        (("own_notes.py", "1", "2"), 1),
    ],
)
def test_a_model_outside_the_library_is_trained_again_when_its_own_code_changed(
    data: RunContext,
    fits: list[tuple[str, str, int]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    edit: tuple[str, str, str],
    trainings: int,
) -> None:
    for name, text in OWN_FILES.items():
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def train() -> None:
        for name in ("own_net", "own_parts"):
            sys.modules.pop(name, None)
        own = RegisteredModel(import_module("own_net").OwnNet, WordSumSettings, ("link-prediction",), SHORT)
        with MODELS.temporarily("own", own):
            base_of(Case("planted-cora-link", "own", Dense()), 0, replace(data, store=ArtifactStore(tmp_path)))

    train()
    file, old, new = edit
    (tmp_path / file).write_text(OWN_FILES[file].replace(old, new))
    train()
    assert len(fits) == trainings
