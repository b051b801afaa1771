"""The search keeps its limits and its time, chooses on validation alone, and what it finds can be made again."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.nn.models import GCN

import gnn
from gnn import training
from gnn.artifacts import ArtifactStore
from gnn.case import ROWS
from gnn.compression import METHODS, Compressed, Masks, register_method
from gnn.errors import GnnError, NothingFoundError, SettingError
from gnn.models import MODELS
from gnn.searching import Found
from gnn.searching.measuring import Measuring, validation_score
from gnn.shipped import ship_to
from gnn.tasks import TASKS, GivenTask, NodeClassification
from gnn.trial import RunContext, Trial

FEATURES, CLASSES, NODES = 24, 3, 120
SHORT = gnn.TrainingSettings(0.02, 0.0, epochs=12, patience=12)
RECIPE = gnn.Recipe(SHORT, replace(SHORT, epochs=4))
NET = gnn.Model("net", build=lambda: GCN(FEATURES, 16, 2, CLASSES), recipe=RECIPE)
FEW = (gnn.Dense(), gnn.GlobalMagnitude(0.9))


def papers(*, garbled: bool = False) -> GivenTask:
    """A task whose nodes tell their class; garbled, the labels of its test part are drawn."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(NODES) % CLASSES
    source = torch.arange(NODES).repeat_interleave(3)
    target = (source + CLASSES * torch.randint(1, 4, source.shape, generator=generator)) % NODES
    features = torch.randn(NODES, FEATURES, generator=generator)
    features[torch.arange(NODES), labels] += 2
    part = torch.arange(NODES) % 4
    masks = {"train_mask": part < 2, "val_mask": part == 2, "test_mask": part == 3}
    if garbled:
        labels[part == 3] = torch.randint(CLASSES, (NODES // 4,), generator=generator)
    edges = torch.stack([source, target])
    return gnn.node_task("papers", Data(x=features, edge_index=torch.cat([edges, edges.flip(0)], 1), y=labels, **masks))


TASK = papers()


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def find(cache: Path | bool, model: Any = NET, task: Any = TASK, **options: Any) -> Found:  # noqa: ANN401
    return gnn.search(model, task, cache=cache, **{"methods": FEW, "seeds": 1, "progress": None, **options})


def trained() -> nn.Module:
    """A module that somebody has trained."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = GCN(FEATURES, 16, 2, CLASSES)
    training.fit(module, TASK.at(0), SHORT, seed=0)
    return module


@pytest.fixture
def given_method(monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ANN401
    """Make settings of a method that calls a function and changes nothing."""
    monkeypatch.setattr(METHODS, "_entries", dict(vars(METHODS)["_entries"]))

    def make(called: Callable[[], object]) -> type[Any]:
        @dataclass(frozen=True)
        class Settings:
            method: ClassVar[str] = "given"
            compresses: ClassVar[bool] = False
            can_be_fine_tuned: ClassVar[bool] = False
            number: int = 0

            def id_parts(self) -> tuple[str, ...]:
                return (f"n{self.number}",)

        @register_method(Settings)
        def compress(model: nn.Module, settings: Settings, context: object) -> Compressed:  # noqa: ARG001
            called()
            return Compressed(model, Masks())

        return Settings

    return make


def test_what_is_found_keeps_the_limits_and_is_what_its_file_says(cache: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    found = find(cache, seeds=2, max_drop=0.1, max_bytes=3000, max_latency_s=10.0, progress=lines.append)
    assert (
        found.save(tmp_path / "small.safetensors")
        == found.size_bytes
        == (tmp_path / "small.safetensors").stat().st_size
    )
    assert found.size_bytes <= 3000 < found.dense_size_bytes
    task = TASK.at(0)
    loaded = gnn.load(tmp_path / "small.safetensors", build=NET.build).model
    dense, scores = found.dense_validation_scores, found.validation_scores
    for model in (found.model, loaded):
        assert validation_score(model, task) == scores[0]
        assert gnn.evaluate(model, task).score == found.test_score
    assert found.seeds == (0, 1)
    assert max(dense[0] - scores[0], sum(dense) / 2 - sum(scores) / 2) <= 0.1 + 1e-9
    sizes = [candidate.size_bytes for candidate in found.front]
    assert sizes == sorted(set(sizes))
    assert found.case_id in [candidate.case.id for candidate in found.front]
    assert found.latency_s is not None
    assert 0 < found.latency_s < 10
    assert found.told("small.safetensors").startswith(
        f"small.safetensors is {found.dense_size_bytes / found.size_bytes:.1f} times smaller than the dense file "
        f"({found.size_bytes:,} of {found.dense_size_bytes:,} bytes) and "
    )
    assert any(found.chosen.case.method_id in line and " s " in line for line in lines)


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        (
            {"max_bytes": 10},
            r"no file of \d+ that were written loses at most 0.01 of .* and has at most 10 bytes; closest",
        ),
        (
            {"max_latency_s": 1e-9},
            r"no file .* and takes at most 1e-06 ms; closest are [a-z0-9.-]+ loses .* bytes and ",
        ),
        ({"methods": [gnn.Structured(0.999)]}, r"none of 2 methods could be tried \(structured.s0.999: sparsity 0.999"),
    ],
)
def test_where_nothing_is_found_a_sentence_says_what_comes_closest(
    limits: dict[str, Any], sentence: str, cache: Path
) -> None:
    with pytest.raises(NothingFoundError, match=sentence):
        find(cache, **{**limits})


def test_the_choice_is_made_on_validation_and_the_test_part_is_looked_at_once(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    score = NodeClassification.score

    def counted(self: Any, outputs: Tensor, part: str) -> float:  # noqa: ANN401
        asked.append(part)
        return score(self, outputs, part)

    monkeypatch.setattr(NodeClassification, "score", counted)
    first = find(cache, max_drop=0.1)
    # Of the chosen model and of the dense one, after everything else.
    assert asked.count("test") == 2
    assert asked[-2:] == ["test", "test"]
    other = find(cache, task=papers(garbled=True), max_drop=0.1)
    assert (other.case_id, other.content) == (first.case_id, first.content)
    assert other.validation_scores == first.validation_scores
    assert other.test_score != first.test_score


def test_the_better_half_goes_on_to_the_next_seed_and_the_rest_does_not(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    files = Measuring.files

    def counted(self: Measuring, work: Any, seed: int, precisions: Any = None) -> Any:  # noqa: ANN401
        for case, outcome in files(self, work, seed, precisions):
            written.append(seed)
            yield case, outcome

    monkeypatch.setattr(Measuring, "files", counted)
    found = find(cache, methods=[*FEW, gnn.GlobalMagnitude(0.5)], max_drop=1.0, seeds=3)
    counts = [written.count(seed) for seed in range(3)]
    assert counts[0] > 10
    assert counts[1:] == [math.ceil(counts[0] / 2), math.ceil(counts[0] / 4)]
    assert found.seeds == (0, 1, 2)


def test_the_same_search_finds_the_same_from_the_cache_and_leaves_no_names(cache: Path) -> None:
    seeds: list[int] = []

    def loop(module: nn.Module, task: Any, seed: int) -> None:  # noqa: ANN401
        seeds.append(seed)
        training.fit(module, task, SHORT, seed)

    before = list(TASKS), list(MODELS)
    results = [find(cache, replace(NET, fit=loop), max_drop=0.1) for _ in range(2)]
    assert seeds == [0]
    assert (list(TASKS), list(MODELS)) == before
    assert results[0].content == results[1].content
    assert [c.case.id for c in results[0].front] == [c.case.id for c in results[1].front]


@pytest.mark.parametrize(
    ("kind", "method"),
    [
        ("given", gnn.GlobalMagnitude(0.6)),
        ("given", gnn.Hybrid(gnn.GlobalMagnitude(0.5), 8)),
        ("registered", gnn.Structured(0.4, "taylor")),
        ("module", gnn.Structured(0.4)),
    ],
    ids=lambda part: getattr(part, "method", part),
)
def test_its_line_of_code_makes_the_same_bytes_again(
    kind: str, method: object, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for registry in (TASKS, MODELS):
        monkeypatch.setattr(registry, "_entries", dict(vars(registry)["_entries"]))
    module = trained()
    given: dict[str, Any] = {"given": NET, "registered": "spline", "module": module}
    found = find(cache, given[kind], methods=[method], max_drop=1.0)
    model = given[kind] if kind != "module" else gnn.Model("gcn-2", build=lambda: module, weights=module.state_dict())
    row = getattr(eval(found.code, {"gnn": gnn, "MODEL": model, "TASK": TASK})(lambda: None), ROWS)[0]  # noqa: S307
    again = Trial(row.case, 0, RunContext(ArtifactStore(tmp_path / "other"), {}))
    ship_to(tmp_path / "again.safetensors", again.compress().model, row.case)
    assert (tmp_path / "again.safetensors").read_bytes() == found.content


def test_a_trained_module_keeps_its_weights_and_needs_no_training(cache: Path) -> None:
    module = trained()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    found = find(cache, module, TASK.at(0), methods=[gnn.Dense()], max_drop=0.1)
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert found.dense_validation_scores[0] == validation_score(module, TASK.at(0))
    assert found.dense_test_score == gnn.evaluate(module, TASK.at(0)).score
    assert found.case_id.startswith("papers.my-gcn.dense.stored-")


def test_a_model_of_a_notebook_is_found_twice_and_kept_nowhere(cache: Path) -> None:
    cell: dict[str, Any] = {"__name__": "no_file", "GCN": GCN}
    exec("class Net(GCN): pass", cell)  # noqa: S102
    contents = []
    for _ in range(2):
        net = gnn.Model("net", build=lambda: cell["Net"](FEATURES, 16, 2, CLASSES), recipe=RECIPE)
        contents.append(find(cache, net, methods=[gnn.Hybrid(gnn.GlobalMagnitude(0.5))], max_drop=0.1).content)
    assert contents[0] == contents[1]
    assert not list(cache.rglob("*.artifact"))


def test_what_does_not_fit_into_the_time_is_not_started(cache: Path, given_method: Any) -> None:  # noqa: ANN401
    calls: list[float] = []
    settings = given_method(lambda: calls.append(time.sleep(2.5) or time.perf_counter()))
    found = find(cache, methods=[settings(n) for n in range(9)], budget_s=5.0, max_drop=0.1)
    # There was time to start a second one, but not to end it.
    assert len(calls) == 1
    assert found.untried == 8


def test_training_that_never_ends_is_stopped_in_time(cache: Path) -> None:
    endless = replace(RECIPE, training=replace(SHORT, epochs=10**6, patience=10**6))
    with pytest.raises(SettingError, match=r"budget_s 1 is over before anything was compressed; give more, or a"):
        find(cache, replace(NET, recipe=endless), budget_s=1.0)


def test_an_interrupted_search_gives_the_best_so_far(cache: Path, given_method: Any) -> None:  # noqa: ANN401
    def interrupt() -> None:
        raise KeyboardInterrupt

    lines: list[str] = []
    found = find(cache, methods=[gnn.Dense(), given_method(interrupt)()], max_drop=0.1, progress=lines.append)
    assert found.case_id.startswith("papers.net.dense.stored-")
    assert "interrupted; this is the best so far" in lines


def test_a_candidate_that_cannot_be_made_is_listed_with_its_reason(cache: Path) -> None:
    found = find(cache, methods=[gnn.Structured(0.999), gnn.Dense()], max_drop=0.1)
    assert list(found.failed) == ["structured.s0.999", "structured.s0.999.ft"]
    assert all("give a lower sparsity" in reason for reason in found.failed.values())


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        ({"model": "gnc"}, "unknown model 'gnc'; valid are: "),
        ({"model": 3}, "model is a int; give a gnn.Model, the name of a registered model or a trained module"),
        ({"task": None}, "task is a NoneType; give what gnn.node_task, gnn.graph_task or gnn.link_task made, or the"),
        ({"model": "gnnnet"}, "model 'gnnnet' is for graph-classification, not for node-classification (papers)"),
        ({"max_drop": -0.1}, "max_drop -0.1 must be a number from 0 on, such as 0.01 for one point"),
        ({"budget_s": 0}, "budget_s 0 must be a number above 0 and seeds 1 a whole number from 1 on"),
        ({"methods": []}, "methods is empty; give at least one, such as gnn.Structured(0.5), or None for all"),
    ],
)
def test_what_cannot_be_searched_is_refused_in_a_sentence(ask: dict[str, Any], sentence: str, cache: Path) -> None:
    with pytest.raises(GnnError) as caught:
        find(cache, **ask)
    assert str(caught.value).startswith(sentence)
