"""Tasks from anybody's PyG data."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from gnn.errors import DatasetError, SettingError
from gnn.tasks.given_data import checked_data, dense_features, node_count, require_data, sparse_features
from gnn.tasks.given_splits import MASKS, Shares, SplitFunction, SplitSettings, split_rule
from gnn.tasks.graph_classification import GraphClassification
from gnn.tasks.graph_collection import GraphCollection
from gnn.tasks.graph_splits import SHARES
from gnn.tasks.node_classification import Graph, NodeClassification, Split
from gnn.tasks.objectives import Binary, MultiClass, Objective, objective_for
from gnn.tasks.registry import GIVEN, PLANTED_PREFIX, TaskRequest
from gnn.tasks.task import PARTS, Task

if TYPE_CHECKING:
    from torch_geometric.data import Data


@dataclass(frozen=True, eq=False)
class GivenTask:
    """A task on data that somebody has in memory: `at` makes it with the split of a seed.

    It stands among the registered tasks, but needs no raw files, and both protocols are the same.
    """

    name: str
    at: Callable[[int], Task]
    dataset: None = None

    def load(self, request: TaskRequest) -> Task:
        """The task with the split of the requested seed."""
        return self.at(request.seed)


def node_task(
    name: str,
    data: "Data",
    *,
    objective: str | Objective | None = None,
    metric: str | None = None,
    split: str | SplitFunction | None = None,
    groups: Tensor | None = None,
    shares: Shares = SHARES,
) -> GivenTask:
    """Make a task of predicting the labels `data.y` of the nodes of one graph.

    Models are called with everything that the data has (edge weights, edge features, positions); our own registered
    models read `x` and `edge_index`.

    Args:
        name: The first part of the ids of its cases: a-z, 0-9 and "-".
        data: A graph with `edge_index` [2, edges], `y` [nodes] or [nodes, labels], and `x` [nodes, channels] if any.
        objective: "multi-class", "binary", "multi-label", "regression" or an `Objective`; None looks at the labels:
            whole numbers are classes, rows of 0, 1 and NaN several labels, other floats regression.
        metric: Which score selects weights and is gated, such as "accuracy", "f1", "roc_auc", "average_precision",
            "r2", "mae" or "rmse"; None for the usual one of the objective. Errors become negative scores.
        split: None takes `train_mask`, `val_mask` and `test_mask` of the data; masks [nodes, k] hold k splits, and a
            seed takes number seed % k. "random" and "stratified" draw a new split for every seed. A function of the
            seed returns three masks or three tensors of node numbers.
        groups: Numbers [nodes]; nodes with the same one stay in one part of a random split.
        shares: What a drawn split gives to the training, validation and test part.

    Raises:
        DatasetError: When the data or a part of it cannot be learned from.
        SettingError: When an argument is not one of those above.
    """
    where = f"the data of {require_name(name)}"
    labels = _labels(require_data(data, where), where)
    masks = {mask: data[mask] for mask in MASKS.values() if mask in data}
    data = checked_data(data, where, nodes=len(labels))
    if node_count(data) != len(labels):
        raise DatasetError(f"{where} has {len(labels)} labels for {node_count(data)} nodes; give every node one row")
    objective = objective_for(labels, objective, metric)
    data.y = targets = objective.targets(labels)
    graph = Graph(sparse_features(data), cast(Tensor, data.edge_index), targets)
    settings = SplitSettings(split, groups, shares, masks)
    return _task(NodeClassification, name, labels, objective, settings, graph=graph, data=data)


def graph_task(
    name: str,
    graphs: "Iterable[Data]",
    *,
    objective: str | Objective | None = None,
    metric: str | None = None,
    split: str | SplitFunction | None = None,
    groups: Tensor | None = None,
    shares: Shares = SHARES,
) -> GivenTask:
    """Make a task of predicting the label `y` of each of many graphs, a list or a PyG `Dataset`.

    Everything is as for `node_task`, with graphs in the place of nodes, but for None as `split`, which draws at random.

    Args:
        name: The first part of the ids of its cases: a-z, 0-9 and "-".
        graphs: Graphs with a `y` of one row each, [1], [1, labels] or a number, and the same attributes.
        objective: As for `node_task`.
        metric: As for `node_task`.
        split: "random" (which None is, too), "stratified", or a function of the seed that returns three masks or three
            tensors of graph numbers.
        groups: Numbers [graphs], such as those of scaffolds; graphs with the same one stay in one part.
        shares: As for `node_task`.

    Raises:
        DatasetError: When a graph or a part cannot be learned from.
        SettingError: When an argument is not one of those for `node_task`.
    """
    require_name(name)
    data = [checked_data(graph, f"graph {number} of {name}") for number, graph in enumerate(graphs)]
    rows = [_label_of_graph(graph, f"graph {number} of {name}") for number, graph in enumerate(data)]
    _require_alike(name, data)
    labels = torch.cat(rows)
    objective = objective_for(labels, objective, metric)
    targets = objective.targets(labels)
    for graph, target in zip(data, targets.split(1), strict=True):
        graph.y = target
    collection = _collect(data, targets)
    settings = SplitSettings("random" if split is None and groups is None else split, groups, shares, {})
    return _task(GraphClassification, name, labels, objective, settings, collection=collection, data=data)


def _task(
    kind: Callable[..., Task],
    name: str,
    labels: Tensor,
    objective: Objective,
    settings: SplitSettings,
    **data: object,
) -> GivenTask:
    """A task of a kind whose examples are dealt out as the settings say."""
    targets = objective.targets(labels)
    rule = split_rule(name, len(labels), _classes(objective, targets), settings)

    def at(seed: int) -> Task:
        return kind(
            name=name,
            source=GIVEN,
            protocol="clean",
            split=_learnable(name, rule(seed), objective, labels),
            classes=objective.outputs(targets),
            objective=objective,
            **data,
        )

    return usable(GivenTask(name, at))


def require_name(name: str) -> str:
    """The same name; raises `SettingError` when it cannot be the first part of a case id."""
    if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9-]+", name):
        raise SettingError(f"task name {name!r} may only use the characters a-z, 0-9 and '-'; rename the task")
    if name.startswith(PLANTED_PREFIX):
        raise SettingError(f"task name {name!r} begins as those of planted data do; leave out {PLANTED_PREFIX!r}")
    return name


def usable(task: GivenTask) -> GivenTask:
    """The same task, after its first split was made, so that bad input is told where it was given."""
    task.at(0)
    return task


def _labels(data: "Data", where: str) -> Tensor:
    labels = data.y
    if labels is None:
        raise DatasetError(f"{where} has no labels; set data.y")
    if not isinstance(labels, Tensor) or labels.dim() == 0 or len(labels) == 0:
        raise DatasetError(f"{where} has the labels y = {labels!r}, expected a tensor with one row per example")
    return labels.cpu()


def _label_of_graph(graph: "Data", where: str) -> Tensor:
    """The label of one graph as a row, [1] or [1, labels]."""
    if graph.y is None:
        raise DatasetError(f"{where} has no label; set its y")
    label = torch.as_tensor(graph.y)
    if label.dim() == 0:
        label = label[None]
    if label.dim() > 2 or len(label) != 1:
        raise DatasetError(
            f"{where} has a y of the shape {tuple(label.shape)}, expected one row, [1] or [1, labels]; use "
            "y.view(1, -1), or node_task for labels of nodes"
        )
    return label


def _require_alike(task: str, graphs: "list[Data]") -> None:
    """Raise `DatasetError` unless there are graphs, with the same attributes and equally wide features and labels."""
    if not graphs:
        raise DatasetError(f"{task} has no graphs; give at least three")
    for what, of in {
        "attributes": lambda graph: sorted(graph.to_dict()),
        "channels of x": lambda graph: None if graph.x is None else graph.x.shape[1],
        "shape of y": lambda graph: list(torch.as_tensor(graph.y).shape),
    }.items():
        first = of(graphs[0])
        for number, graph in enumerate(graphs):
            if (found := of(graph)) != first:
                raise DatasetError(
                    f"graphs of {task} differ in their {what}: graph 0 has {first}, graph {number} has {found}; make "
                    "them alike"
                )


def _collect(graphs: "list[Data]", targets: Tensor) -> GraphCollection:
    sizes = torch.tensor([node_count(graph) for graph in graphs])
    pointer = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
    edges = [cast(Tensor, graph.edge_index) + start for graph, start in zip(graphs, pointer[:-1], strict=True)]
    features = torch.cat([dense_features(graph) for graph in graphs])
    return GraphCollection.from_edges(features, torch.cat(edges, dim=1), pointer, targets)


def _classes(objective: Objective, targets: Tensor) -> Tensor | None:
    """The labels that a split can be stratified by, if there are any."""
    return targets.long() if isinstance(objective, MultiClass | Binary) else None


def _learnable(task: str, split: Split, objective: Objective, labels: Tensor) -> Split:
    """The same split; raises `DatasetError` when a part has wrong labels, or the score of one is undefined."""
    targets = objective.targets(labels)
    wrong, expected = objective.refused(targets)
    for part in PARTS:
        examples = getattr(split, part)
        refused = examples[wrong[examples]]
        if len(refused):
            raise DatasetError(
                f"the {part} part of {task} has the label {labels[refused[0]].tolist()} at example {int(refused[0])}, "
                f"expected {expected} ({len(refused)} labels are not); correct them, or leave these examples out of "
                "the split"
            )
        if bool(targets[examples].isnan().all()):
            raise DatasetError(f"the {part} part of {task} has no label that is known; leave such examples out of it")
        reason = None if part == "train" else objective.undefined(objective.metric, targets[examples])
        if reason:
            raise DatasetError(
                f"{objective.metric} is undefined on the {part} part of {task}: {reason}; choose another metric or "
                "another split"
            )
    return split
