"""Somebody's own model and data beside the registered ones, through the whole pipe by public names alone."""

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch_geometric.nn import global_add_pool
from torch_geometric.nn.models import GCN, GIN

import gnn
from gnn import training
from gnn.artifacts import ArtifactStore
from gnn.case import ROWS, Case
from gnn.errors import DivergenceError, GnnError, SettingError
from gnn.models import MODELS, on_task
from gnn.runtime import compile_inference
from gnn.tasks import TASKS, GivenTask
from gnn.trial import RunContext, Trial
from tests.gnn.given_graphs import CHANNELS, CLASSES, logits_of, some_graph, some_graphs

SHORT = gnn.TrainingSettings(0.02, 0.0, epochs=8, patience=8, batch_size=16)
RECIPE = gnn.Recipe(SHORT, replace(SHORT, epochs=5))


NODES_TASK = gnn.node_task("papers", some_graph())
LINKS_TASK = gnn.link_task("links", some_graph())
GRAPHS_TASK = gnn.graph_task("molecules", some_graphs(60))


class GraphNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolutions, self.out = GIN(CHANNELS, 12, 2, norm="batch_norm"), nn.Linear(12, 2)

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        return self.out(global_add_pool(self.convolutions(x, edge_index), batch))


NET = gnn.Model("net", build=lambda: GCN(CHANNELS, 12, 2, CLASSES), recipe=RECIPE)
TASKS_AND_MODELS: dict[str, tuple[GivenTask, gnn.Model | str]] = {
    "nodes": (NODES_TASK, NET),
    "links": (LINKS_TASK, gnn.Model("embedding", build=lambda: GCN(CHANNELS, 12, 2, 8), recipe=RECIPE)),
    "graphs": (GRAPHS_TASK, gnn.Model("graph-net", build=GraphNet, recipe=RECIPE)),
}
METHODS = (
    gnn.Dense(),
    gnn.GlobalMagnitude(0.7),
    gnn.Structured(0.5, "taylor"),
    gnn.Gradual(0.8),
    gnn.L2(1e-3, sparsity=0.5),
    gnn.LotteryTicket(0.5, "random"),
    gnn.PostTraining(8),
    gnn.Qat(8),
    gnn.DegreeQuant(8),
    gnn.A2q(),
    gnn.Hybrid(gnn.Structured(0.5)),
)


@pytest.fixture
def run_context(tmp_path: Path) -> RunContext:
    return RunContext(ArtifactStore(tmp_path / "store"), {})


@pytest.fixture(autouse=True)
def _registries(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test registers is gone after it."""
    for registry in (TASKS, MODELS):
        monkeypatch.setattr(registry, "_entries", dict(vars(registry)["_entries"]))


def trial(task: Any, model: Any, method: Any, run_context: RunContext, seed: int = 0, **options: Any) -> Trial:  # noqa: ANN401
    rows = getattr(gnn.cases(task, model, method, **options)(lambda case, judge: judge(case)), ROWS)
    return Trial(rows[0].case, seed, run_context)


# Kinds of tasks differ in how a model is fed, trained and protected by degree.
OF_EVERY_KIND = ("global", "structured", "degree-quant")
KINDS_AND_METHODS = [(k, m) for k in TASKS_AND_MODELS for m in METHODS if k == "nodes" or m.method in OF_EVERY_KIND]


@pytest.mark.parametrize(("kind", "method"), KINDS_AND_METHODS, ids=str)
def test_every_method_takes_a_model_and_data_that_are_not_ours(kind: str, method: Any, run_context: RunContext) -> None:  # noqa: ANN401
    asked = trial(*TASKS_AND_MODELS[kind], method, run_context, fine_tune=True)
    run = asked.run()
    assert method.method == "dense" or run.compressed_tensors > 0
    # A thousand groups of nodes for each quantizer are more than these small models have weights.
    assert method.method == "a2q" or run.size_bytes.encoded < run.size_bytes.dense
    assert run.accuracy == training.evaluate(run.model, asked.task).score
    assert not any(name.startswith("module.") for name in run.layer_sparsity)


def test_a_registered_model_takes_given_data_and_a_given_model_registered_tasks(run_context: RunContext) -> None:
    assert trial(NODES_TASK, "gcn", gnn.GlobalMagnitude(0.5), run_context).run().sparsity == pytest.approx(
        0.5, abs=0.01
    )
    task = trial(GRAPHS_TASK, "gnnnet", gnn.Dense(), run_context).task
    logits = on_task(GraphNet().eval(), task)
    assert logits.outputs(task, logits.prepare(task), "test").shape == (len(task.targets("test")), 2)


def test_the_decorator_asks_for_each_method_once_and_registers_what_it_is_given() -> None:
    @gnn.cases(NODES_TASK, NET, gnn.Structured(0.5), gnn.PostTraining(8), seeds=3, fine_tune=True)
    @gnn.cases("cora-node", NET, gnn.Dense(), seeds={"quick": 1}, at_least={"accuracy.mean": 0.5})
    def test_mine(case: object, judge: Callable[[object], None]) -> None:
        judge(case)

    rows = getattr(test_mine, ROWS)
    ids = [row.case.id for row in rows]
    # Codes cannot be trained on, so there is nothing to fine-tune.
    assert ids == ["papers.net.structured.s0.5.ft", "papers.net.post-training.int8", "cora-node.net.dense"]
    assert [row.seeds for row in rows] == [dict.fromkeys(("quick", "ci", "paper"), 3)] * 2 + [{"quick": 1}]
    assert rows[2].at_least == {"accuracy.mean": 0.5}
    assert (TASKS["papers"], MODELS["net"]) == (NODES_TASK, NET)


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (lambda: gnn.cases(NODES_TASK, NET), "cases() got no method; give at least one, such as gnn.Structured(0.5)"),
        (lambda: gnn.cases(NODES_TASK, NET, gnn.Dense(), seeds=0), "seeds 0 are no number from 1 on, nor such numbers"),
        (lambda: gnn.cases(NODES_TASK, NET, gnn.Dense(), seeds={"daily": 1}), "seeds {'daily': 1} are no number"),
        (
            lambda: gnn.cases(NODES_TASK, NET, gnn.Dense(), at_leats={}),
            "unknown rule 'at_leats'; valid are: allowances",
        ),
        (lambda: gnn.cases("papres", NET, gnn.Dense()), "unknown task 'papres'; valid are: bbbp"),
        (lambda: gnn.cases(NODES_TASK, replace(NET), gnn.Dense()) and None, None),
        (
            lambda: gnn.Model("My Net", build=GraphNet),
            "model name 'My Net' may only use the characters a-z, 0-9 and '-'",
        ),
        (
            lambda: gnn.Model("n", build=GraphNet, fit=print, weights={}),
            "model 'n' has fit and weights; give the one or",
        ),
        (
            lambda: Case("cora-node", "gcn", gnn.Qat(8), fine_tune=True),
            "cora-node.gcn.qat.int8.ste-abs.ft cannot be fine",
        ),
    ],
)
def test_what_cannot_be_asked_is_refused_in_a_sentence(ask: Callable[[], object], sentence: str | None) -> None:
    if sentence is None:
        ask()  # Another model of the same name, but the first to be registered.
        return
    with pytest.raises(GnnError) as caught:
        ask()
    assert str(caught.value).startswith(sentence)


def test_a_name_that_is_taken_is_refused_and_the_same_model_twice_is_not() -> None:
    for _ in range(2):
        gnn.cases(NODES_TASK, NET, gnn.Dense())
    with pytest.raises(SettingError, match="model 'net' is registered twice; give the second one its own name"):
        gnn.cases(NODES_TASK, replace(NET), gnn.Dense())
    with pytest.raises(SettingError, match="model 'gin' is registered twice"):
        gnn.cases(NODES_TASK, replace(NET, name="gin"), gnn.Dense())


def loop(module: nn.Module, task: Any, seed: int) -> None:  # noqa: ANN401, ARG001
    """A user's own training."""
    data, optimizer = task.pyg(), torch.optim.Adam(module.parameters(), 0.02)
    for _ in range(20):
        optimizer.zero_grad()
        task.loss(module(data.x, data.edge_index)[task.split.train], "train").backward()
        optimizer.step()


def diverging(module: nn.Module, task: object, seed: int) -> None:  # noqa: ARG001
    with torch.no_grad():
        next(module.parameters()).fill_(torch.nan)


def test_a_loop_of_the_users_own_trains_once_for_each_seed_and_knows_no_epochs(run_context: RunContext) -> None:
    calls = []

    def counted(module: nn.Module, task: Any, seed: int) -> None:  # noqa: ANN401
        calls.append(seed)
        loop(module, task, seed)

    own = replace(NET, fit=counted)
    runs = [
        trial(NODES_TASK, own, gnn.GlobalMagnitude(s), run_context, seed).run() for s in (0.2, 0.5) for seed in (0, 1)
    ]
    assert calls == [0, 1]
    assert runs[0].accuracy > 0.45
    assert runs[0].training_s > 0
    assert (runs[0].best_epoch, runs[0].epochs, runs[0].truncated) == (None, None, None)
    # Even at the recipe's own rate it is another training than that of the loop.
    assert trial(NODES_TASK, own, gnn.L2(SHORT.weight_decay), run_context).run().epochs == SHORT.epochs


def test_a_loop_that_ends_in_nan_is_named(run_context: RunContext) -> None:
    with pytest.raises(DivergenceError, match=r"^the validation loss of GCN on papers is nan after its own training"):
        trial(NODES_TASK, replace(NET, fit=diverging), gnn.Dense(), run_context).run()


@pytest.mark.parametrize("form", ["state", "safetensors", "torch"])
def test_given_weights_are_taken_as_they_are_and_only_fine_tuning_takes_time(
    form: str, run_context: RunContext, tmp_path: Path
) -> None:
    state: Any = NET.build().state_dict()
    path = tmp_path / ("weights.safetensors" if form == "safetensors" else "weights.pt")
    if form == "safetensors":
        save_file(state, path)
    elif form == "torch":
        torch.save(state, path)
    given = replace(NET, weights=state if form == "state" else path)
    dense = trial(NODES_TASK, given, gnn.Dense(), run_context)
    run = dense.run()
    assert all(torch.equal(tensor, state[name]) for name, tensor in run.model.state_dict().items())
    assert (run.training_s, run.best_epoch) == (None, None)
    tuned = trial(NODES_TASK, given, gnn.GlobalMagnitude(0.5), run_context, fine_tune=True)
    assert tuned.run().accuracy >= run.accuracy
    other = {name: tensor + 1 for name, tensor in state.items()}
    changed = replace(NET, weights=other)
    assert changed.description(changed.build_for(dense.task)) != given.description(given.build_for(dense.task))


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        (
            {"a": torch.ones(1)},
            "the weights of model 'net' do not fit on papers: Error(s) in loading state_dict for GCN",
        ),
        ("nowhere.pt", "the weights of model 'net' cannot be read from nowhere.pt: "),
    ],
)
def test_weights_that_do_not_fit_are_refused(weights: Any, sentence: str, run_context: RunContext) -> None:  # noqa: ANN401
    with pytest.raises(SettingError) as caught:
        trial(NODES_TASK, replace(NET, weights=weights), gnn.Dense(), run_context).run()
    assert str(caught.value).startswith(sentence)


def test_a_call_of_ones_own_is_kept_by_copies_files_and_the_runtime(run_context: RunContext) -> None:
    scaled = replace(NET, call=lambda module, data: 2 * module(data.x, data.edge_index))
    asked = trial(NODES_TASK, scaled, gnn.GlobalMagnitude(0.1), run_context)
    loaded = asked.run().model
    whole: Any = gnn.Model("whole", NET.build, call=lambda module, data: module(data.x, data.edge_index)).empty()
    whole.load_state_dict(loaded.state_dict())
    torch.testing.assert_close(logits_of(copy.deepcopy(loaded), asked.task), 2 * logits_of(whole, asked.task))
    task: Any = asked.task
    torch.testing.assert_close(compile_inference(loaded, task)()[task.split.test], logits_of(loaded, task))
