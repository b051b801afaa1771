"""Tasks from anybody's data: parts are what was asked for, and plain modules and our own models learn from them."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.datasets import FakeDataset

from gnn.artifacts import ArtifactStore
from gnn.determinism import deterministic
from gnn.models import GraphModel, build_model_for
from gnn.tasks import (
    GIVEN,
    PARTS,
    TASKS,
    DataSearch,
    DataSource,
    GivenTask,
    GraphClassification,
    MultiClass,
    NodeClassification,
    Regression,
    Task,
    graph_task,
    link_task,
    load_task,
    locate_task,
    node_task,
)
from gnn.training import evaluate, fit
from gnn.training_settings import TrainingSettings
from tests.gnn.given_graphs import NODES, pyg_of, some_graph, some_graphs

SHORT = TrainingSettings(learning_rate=0.03, weight_decay=0.0, epochs=30, patience=30, batch_size=32)
NAN = float("nan")


def parts_of(task: Task) -> dict[str, list[int]]:
    assert isinstance(task, NodeClassification | GraphClassification)
    return {part: getattr(task.split, part).tolist() for part in PARTS}


MASKED, GRAPHS = some_graph(), some_graphs()
EVERY_KIND: list[GivenTask] = [
    node_task("papers", MASKED),
    node_task("many-papers", MASKED, split="random"),
    graph_task("molecules", GRAPHS),
    link_task("citations", MASKED),
]


@pytest.fixture(params=EVERY_KIND, ids=lambda task: task.name)
def given_task(request: pytest.FixtureRequest) -> GivenTask:
    return request.param


def test_masks_are_the_parts_and_do_not_reach_the_model() -> None:
    data = some_graph()
    before = dict(data.to_dict())
    task = node_task("papers", data).at(3)
    for part, mask in zip(PARTS, (data.train_mask, data.val_mask, data.test_mask), strict=True):
        assert parts_of(task)[part] == mask.nonzero().flatten().tolist()
        assert torch.equal(task.targets(part), data.y[mask])
    assert set(pyg_of(task).to_dict()) == {"x", "edge_index", "y", "edge_weight", "edge_attr"}
    assert all(data[key] is value for key, value in before.items())
    assert len(data.to_dict()) == len(before)


def test_a_seed_takes_a_column_of_many_masks() -> None:
    first = torch.arange(NODES)[:, None] % 5
    train, held_out = first != torch.arange(3), first == torch.arange(3)
    half = torch.arange(NODES)[:, None] < NODES // 2
    data = some_graph(train_mask=train, val_mask=held_out & half, test_mask=held_out & ~half)
    task = node_task("papers", data)
    for seed in range(5):
        assert parts_of(task.at(seed))["train"] == train[:, seed % 3].nonzero().flatten().tolist()


def test_a_function_of_the_seed_gives_masks_or_numbers() -> None:
    def split(seed: int) -> tuple[Tensor, Tensor, Tensor]:
        return torch.arange(NODES) % 4 > 1, torch.tensor([4 * seed, 8]), torch.tensor([13, 1])

    task = node_task("papers", some_graph(), split=split).at(3)
    assert parts_of(task)["validation"] == [12, 8]
    assert parts_of(task)["test"] == [13, 1]
    assert torch.equal(task.targets("test"), some_graph().y[[13, 1]])


@given(count=st.integers(30, 90), seed=st.integers(0, 99), how=st.sampled_from(["random", "stratified", "groups"]))
@settings(max_examples=15, deadline=None)
def test_drawn_parts_cover_everything_once_and_repeat(count: int, seed: int, how: str) -> None:
    data, shares = some_graph(count, masks=False), (0.6, 0.2, 0.2)
    groups = torch.arange(count) % 11 if how == "groups" else None
    task = node_task("drawn", data, split=None if groups is not None else how, groups=groups, shares=shares)
    parts = parts_of(task.at(seed))
    assert sorted(node for part in parts.values() for node in part) == list(range(count))
    assert parts == parts_of(task.at(seed)) != parts_of(task.at(seed + 1))
    for share, part in zip(shares, parts.values(), strict=True):
        slack = 2.01 if groups is None else count / 11 + 1
        assert abs(len(part) - share * count) <= slack
        if groups is not None:
            assert (
                len(
                    {int(groups[node]) for node in part}
                    & {int(groups[node]) for node in range(count) if node not in part}
                )
                == 0
            )
        if how == "stratified":
            sizes = torch.bincount(data.y[part], minlength=3)
            assert (sizes - len(part) / 3).abs().max() <= 1.5


@given(sizes=st.lists(st.integers(1, 40), min_size=3, max_size=8), seed=st.integers(0, 9))
def test_whole_groups_leave_no_part_empty(sizes: list[int], seed: int) -> None:
    groups = torch.repeat_interleave(torch.arange(len(sizes)) - 3, torch.tensor(sizes))
    data = Data(
        x=torch.ones(len(groups), 1), edge_index=torch.zeros(2, 0, dtype=torch.int64), y=torch.ones(len(groups))
    )
    parts = parts_of(node_task("sites", data, metric="mae", groups=groups).at(seed))
    found = [{int(groups[node]) for node in part} for part in parts.values()]
    assert sum(map(len, found)) == len(sizes) == len(set.union(*found))


def test_a_drawn_split_leaves_the_random_state_alone() -> None:
    task = graph_task("molecules", GRAPHS, split="stratified")
    before = torch.get_rng_state()
    task.at(7)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("device", ["cpu", *(["cuda"] if torch.cuda.is_available() else [])])
def test_the_same_part_is_the_same_object(given_task: GivenTask, device: str) -> None:
    task = given_task.at(0)
    moved = task.to(device)
    for part in (None, *PARTS):
        assert pyg_of(task, part) is pyg_of(task, part)
        assert pyg_of(moved, part) is pyg_of(moved, part)
        assert {value.device.type for value in pyg_of(moved, part).to_dict().values()} == {device}
    assert moved.sha256 == task.sha256


def test_edges_stay_in_the_users_order() -> None:
    pyg = pyg_of(EVERY_KIND[0].at(0), "train")
    assert all(torch.equal(pyg[key], MASKED[key]) for key in ("x", "edge_index", "edge_weight", "edge_attr"))


def test_graphs_of_a_part_are_one_batch_in_the_order_of_the_split() -> None:
    task = EVERY_KIND[2].at(1)
    for part in PARTS:
        numbers = parts_of(task)[part]
        expected: Any = Batch.from_data_list([GRAPHS[number] for number in numbers])
        batch = pyg_of(task, part)
        assert set(batch.to_dict()) == set(expected.to_dict())
        assert all(torch.equal(batch[key], value) for key, value in expected.to_dict().items())
        assert torch.equal(task.targets(part), expected.y)
    assert pyg_of(task).num_graphs == len(GRAPHS)


@pytest.mark.parametrize(("batch_size", "fewest_nodes"), [(1, 0), (1, 2), (8, 2), (100, 0)])
def test_batches_are_dealt_as_those_of_our_own_models(batch_size: int, fewest_nodes: int) -> None:
    task = EVERY_KIND[2].at(0)
    assert isinstance(task, GraphClassification)
    with deterministic(5):
        own = list(task.shuffled_batches(batch_size, fewest_nodes))
    with deterministic(5):
        theirs: list[Any] = list(task.pyg_batches(batch_size, fewest_nodes))
    for batch, pyg in zip(own, theirs, strict=True):
        assert torch.equal(batch.features, pyg.x)
        assert torch.equal(batch.labels, pyg.y)
        assert torch.equal(batch.node_pointer, pyg.ptr)
    assert min(len(batch.x) for batch in theirs) >= fewest_nodes


def test_a_dataset_and_labels_that_are_plain_numbers_are_taken() -> None:
    dataset: Any = FakeDataset(num_graphs=20, avg_num_nodes=6, edge_dim=2)
    task = graph_task("fake", dataset).at(0)
    assert torch.equal(pyg_of(task).edge_attr, torch.cat([graph.edge_attr for graph in dataset]))
    graphs = some_graphs()
    for number, graph in enumerate(graphs):
        graph.y = number / 2
    numbers = graph_task("heights", graphs).at(0)
    assert isinstance(numbers.objective, Regression)
    assert pyg_of(numbers).y.tolist() == [number / 2 for number in range(len(graphs))]


def test_the_fingerprint_is_of_everything() -> None:
    def sha256(data: Any, **options: Any) -> str:  # noqa: ANN401
        return node_task(options.pop("name", "papers"), data, **options).at(0).sha256

    plain = sha256(some_graph())
    assert plain == sha256(some_graph(), name="other") == node_task("papers", some_graph()).at(4).to("cpu").sha256
    half = some_graph()
    half.edge_weight = half.edge_weight / 2
    masked = some_graph()
    masked.train_mask = masked.train_mask & (torch.arange(NODES) > 0)
    others = [
        sha256(half),
        sha256(masked),
        sha256(some_graph(seed=1)),
        sha256(some_graph(pos=torch.zeros(NODES, 3))),
        sha256(some_graph().update({"unit": "eV"})),
        sha256(some_graph(), metric="f1"),
        sha256(some_graph(), objective=MultiClass(classes=4)),
        *(node_task("papers", some_graph(), split="random").at(seed).sha256 for seed in range(2)),
    ]
    assert len({plain, *others}) == 1 + len(others)


def test_a_task_has_what_records_tell(given_task: GivenTask, tmp_path: Path) -> None:
    search = DataSearch("auto", tmp_path, tmp_path)
    with TASKS.temporarily(given_task.name, given_task):
        source = locate_task(given_task.name, search)
        task = load_task(given_task.name, source, ArtifactStore(tmp_path), "paper", seed=2)
    assert source == DataSource(GIVEN)
    assert (task.name, task.source, task.protocol) == (given_task.name, "given", "clean")
    assert task.sha256 == given_task.at(2).sha256
    assert list(task.statistics)[:5] == ["graphs", "nodes", "edges", "features", "labels"]


OF_NODES = {
    "multi-class": MASKED.y,
    "binary": (MASKED.y > 0).long(),
    "multi-label": torch.stack([MASKED.y == 0, MASKED.y == 1], 1)
    .float()
    .index_put((torch.arange(9),), torch.tensor(NAN)),
    "regression": MASKED.x[:, :2] * 0.5,
}


@pytest.mark.parametrize("kind", OF_NODES)
@pytest.mark.parametrize("model", ["gcn", "spline"])
def test_node_models_learn_every_objective(model: str, kind: str) -> None:
    data = some_graph(y=OF_NODES[kind], x=some_graph().x.clamp(min=0))
    learns(model, node_task("papers", data, objective=kind).at(0))


@pytest.mark.parametrize(("model", "kind"), [*(("gin", kind) for kind in OF_NODES), ("supergat-readout", "regression")])
def test_graph_models_learn_every_objective(model: str, kind: str) -> None:
    graphs = some_graphs(60)
    for number, graph in enumerate(graphs):
        label = torch.tensor([[float(number % 2), NAN if number % 5 == 0 else 1.0 - number % 2]])
        graph.y = {"regression": graph.x.mean(0, keepdim=True)[:, :2], "multi-label": label}.get(kind, graph.y)
    learns(model, graph_task("molecules", graphs, objective=kind, shares=(0.6, 0.2, 0.2)).at(0))


def learns(name: str, task: Task) -> None:
    with deterministic(0):
        model = build_model_for(name, task)
        before = loss_of(model, task)
    fit(model, task, SHORT, 0)
    assert loss_of(model, task) < 0.9 * before
    assert math.isfinite(evaluate(model, task).score)


@torch.no_grad()
def loss_of(model: GraphModel, task: Task) -> float:
    return float(task.loss(model.eval().outputs(task, model.prepare(task), "train"), "train"))


@pytest.mark.parametrize("name", ["ness", "graphsage"])
def test_link_models_learn_from_given_links(name: str) -> None:
    learns(name, EVERY_KIND[3].at(0))
