"""What anybody's data must not be: each in one sentence, told where the task is made."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch_geometric.data import HeteroData

from gnn.errors import GnnError
from gnn.models import build_model_for
from gnn.tasks import MultiClass, graph_task, link_task, node_task
from tests.gnn.given_graphs import NODES, pyg_of, some_graph, some_graphs

EVERY, NONE = torch.ones(NODES, dtype=torch.bool), torch.zeros(NODES, dtype=torch.bool)
NUMBER = torch.arange(NODES)


def node(options: dict[str, Any] | None = None, **more: Any) -> Callable[[], object]:  # noqa: ANN401
    return lambda: node_task("papers", some_graph(**more), **(options or {}))


def changed(change: Callable[[Any], object], kind: Callable[..., object] = node_task) -> Callable[[], object]:
    def build() -> object:
        data = some_graph()
        change(data)
        return kind("papers", data)

    return build


def graphs(change: Callable[[list[Any]], object]) -> Callable[[], object]:
    def build() -> object:
        given = some_graphs()
        change(given)
        return graph_task("molecules", given)

    return build


def fixed(*parts: object) -> Callable[[], object]:
    return node({"split": lambda _: parts})


def setting(name: str, value: object) -> Callable[[Any], object]:
    return lambda data: data.update({name: value})


REFUSED: list[tuple[Callable[[], object], str]] = [
    (
        node(test_mask=EVERY),
        r"36 examples of papers are in both the train and the test part, the first is 0; leave each",
    ),
    (node(val_mask=NONE), r"the validation part of papers is empty; give every part at least one of the 60 examples"),
    (node(train_mask=EVERY[:9]), r"the train part of papers is a mask of 9 examples, expected 60; give one entry for"),
    (
        node(train_mask=EVERY.float()),
        r"train_mask of papers is a tensor of the type torch.float32 .* convert it with .b",
    ),
    (
        node(masks=False),
        r"the data of papers has no train_mask, val_mask, test_mask; add them, or choose split='random'",
    ),
    (changed(lambda data: data.pop("val_mask")), r"the data of papers has no val_mask; add it, or choose"),
    (fixed(NUMBER[:5], NUMBER[5:9]), r"the split of papers is a tuple of 2: Tensor, Tensor, expected three tensors"),
    (node({"split": lambda _: None}), r"the split of papers is a NoneType, expected three tensors"),
    (fixed(NUMBER, NUMBER[:0], NUMBER), r"the validation part of papers is empty"),
    (
        fixed(NUMBER, NUMBER + 60, NUMBER),
        r"the validation part of papers has the example 60, expected numbers from 0 to",
    ),
    (
        fixed(NUMBER[[1, 1]], NUMBER[2:], NUMBER),
        r"the train part of papers has the example 1 more than once; name each",
    ),
    (
        fixed(NUMBER / 2, NUMBER, NUMBER),
        r"the train part of papers is a tensor of the type torch.float32 and the shape",
    ),
    (
        node({"split": "scaffold"}),
        r"split is 'scaffold', expected None, 'random', 'stratified' or a function of the seed",
    ),
    (node({"split": "random", "shares": (0.8, 0.1, 0.2)}), r"shares are \(0.8, 0.1, 0.2\), expected three positive"),
    (
        node({"split": "random", "shares": (0.9, 0.1)}),
        r"shares are \(0.9, 0.1\), expected three positive numbers that sum",
    ),
    (node({"split": "stratified"}, y=torch.rand(NODES)), r"split='stratified' needs one class per example; choose"),
    (
        node({"split": "stratified"}, y=(NUMBER == 0).long()),
        r"60 examples cannot be split by their labels .* Join rare",
    ),
    (
        node({"groups": NUMBER[:4]}),
        r"groups are a tensor .* \(4,\), expected the whole number of a group for each of 60",
    ),
    (node({"groups": NUMBER, "split": "stratified"}), r"groups cannot be kept whole by split='stratified'; choose"),
    (node(y=NUMBER - 1), r"the train part of papers has the label -1 at example 0, expected a class from 0 to 58 \(1 "),
    (
        node({"objective": MultiClass(classes=2)}),
        r"the train part of papers has the label 2 at example 2, expected a cl",
    ),
    (
        node({"objective": "multi-class"}, y=torch.full((NODES,), torch.nan)),
        r"the train part .* the label nan at exampl",
    ),
    (
        node({"objective": "multi-class"}, y=NUMBER / 2),
        r"a label is 0.5, expected whole numbers for multi-class; choose",
    ),
    (
        node({"objective": "binary"}),
        r"the train part of papers has the label 2 at example 2, expected 0 or 1 \(12 labels",
    ),
    (
        node(y=torch.full((NODES,), torch.inf)),
        r"the train part of papers has the label inf at example 0, expected finite",
    ),
    (
        node({"metric": "roc_auc"}, y=(NUMBER % 10 > 7).long()),
        r"roc_auc is undefined on the validation part of papers: all",
    ),
    (
        node(y=torch.full((NODES, 2), torch.nan)),
        r"the train part of papers has no label that is known; leave such exam",
    ),
    (
        node({"metric": "auc"}),
        r"unknown metric 'auc' for multi-class; valid are: accuracy, f1, roc_auc, average_precision",
    ),
    (
        node({"objective": "ranking"}),
        r"unknown objective 'ranking'; valid are: multi-class, binary, multi-label, regress",
    ),
    (changed(lambda data: data.pop("y")), r"the data of papers has no labels; set data.y"),
    (node(y=NUMBER[:7]), r"the data of papers has 7 labels for 60 nodes; give every node one row"),
    (
        node(x=torch.ones(NODES)),
        r"the data of papers has features x of the shape \(60,\), expected a dense tensor \[nodes",
    ),
    (
        changed(lambda data: data.x.__setitem__((4, 2), torch.nan)),
        r"the feature nan in channel 2 of node 4, expected fin",
    ),
    (
        node(edge_index=torch.tensor([[0], [60]])),
        r"the data of papers: an edge goes from node 0 to node 60, but there are 6",
    ),
    (
        node(edge_index=torch.tensor([[0.0], [1.0]])),
        r"the data of papers has an edge_index of torch.float32, expected torc",
    ),
    (
        changed(lambda data: data.pop("edge_index")),
        r"the data of papers has an edge_index None, expected a tensor \[2, ed",
    ),
    (
        changed(setting("atoms", object())),
        r"the data of papers: atoms is a object, which has no fingerprint; keep dense",
    ),
    (
        changed(setting("adj", torch.eye(NODES).to_sparse()), link_task),
        r"the data of papers: adj is a Tensor, which has no",
    ),
    (
        lambda: node_task("papers", HeteroData()),  # pyright: ignore[reportArgumentType]
        r"the data of papers is a HeteroData, expected a torch_geometric.data.Dat",
    ),
    (
        lambda: node_task("my.papers", some_graph()),
        r"task name 'my.papers' may only use the characters a-z, 0-9 and '-'; ",
    ),
    (
        lambda: node_task("planted-x", some_graph()),
        r"task name 'planted-x' begins as those of planted data do; leave out",
    ),
    (lambda: graph_task("molecules", []), r"molecules has no graphs; give at least three"),
    (
        graphs(lambda given: given[3].update({"x": torch.ones(4, 9)})),
        r"graphs of molecules differ in their channels of x: ",
    ),
    (graphs(lambda given: given[3].pop("edge_attr")), r"graphs of molecules differ in their attributes: graph 0 has "),
    (graphs(lambda given: given[3].pop("y")), r"graph 3 of molecules has no label; set its y"),
    (
        graphs(lambda given: given[3].update({"y": torch.ones(4)})),
        r"graph 3 of molecules has a y of the shape \(4,\), exp",
    ),
    (
        graphs(lambda given: given[3].pop("x")),
        r"graph 3 of molecules has neither x nor num_nodes; set data.num_nodes to",
    ),
    (graphs(lambda given: given.clear()), r"molecules has no graphs; give at least three"),
    (
        graphs(lambda given: given.__delitem__(slice(2, None))),
        r"the validation part of molecules is empty; give every part",
    ),
    (
        lambda: link_task("links", some_graph(), split="stratified"),
        r"split is 'stratified', expected None, 'random' or a",
    ),
    (
        lambda: link_task("links", some_graph(), metric="rmse"),
        r"unknown metric 'rmse' for binary; valid are: accuracy, f1",
    ),
]


@pytest.mark.parametrize(("build", "message"), REFUSED, ids=[message[:40] for _, message in REFUSED])
def test_bad_input_gets_one_sentence(build: Callable[[], object], message: str) -> None:
    with pytest.raises(GnnError, match=f"{message}") as caught:
        build()
    assert "\n" not in str(caught.value)


def test_labels_outside_the_parts_may_be_unknown() -> None:
    data = some_graph(y=torch.where(NUMBER < 5, -1, NUMBER % 3))
    data.train_mask = data.train_mask & (NUMBER >= 5)
    assert node_task("papers", data).at(0).output_count == 3


def test_graphs_without_features_are_for_plain_modules_only() -> None:
    given = some_graphs()
    for graph in given:
        graph.num_nodes = graph.num_nodes
        del graph.x
    task = graph_task("molecules", given).at(0)
    assert (task.feature_count, pyg_of(task, "test").num_nodes) == (0, int(pyg_of(task, "test").ptr[-1]))
    with pytest.raises(GnnError, match="must be whole numbers from 1 on"):
        build_model_for("gin", task)
    papers = some_graph()
    del papers.x
    assert pyg_of(node_task("papers", papers).at(0)).num_nodes == NODES
