"""Link-prediction tasks from anybody's PyG data."""

import copy
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor

from gnn.errors import DatasetError, SettingError
from gnn.tasks.given import GivenTask, require_name, usable
from gnn.tasks.given_data import checked_data, node_count, sparse_features
from gnn.tasks.given_splits import Shares, SplitFunction, checked_split, require_shares
from gnn.tasks.link_prediction import LinkPrediction
from gnn.tasks.link_splits import random_links, with_non_links
from gnn.tasks.objectives import Binary
from gnn.tasks.registry import GIVEN
from gnn.tasks.task import PARTS

if TYPE_CHECKING:
    from torch_geometric.data import Data

LINK_SHARES = (0.85, 0.05, 0.10)


def link_task(
    name: str,
    data: "Data",
    *,
    metric: str | None = None,
    split: str | SplitFunction | None = None,
    shares: Shares = LINK_SHARES,
) -> GivenTask:
    """Make a task of telling hidden edges of an undirected graph from pairs of nodes without an edge.

    Models are called with the training edges only, in both directions and with what the data has of them; self-loops
    are left out, and edges between the same two nodes are one link. As many pairs without an edge stand beside the
    links of each part, fixed per seed.

    Args:
        name: The first part of the ids of its cases: a-z, 0-9 and "-".
        data: A graph with both directions of every edge in `edge_index` [2, edges], and `x` [nodes, channels] if any.
        metric: "roc_auc" (which None is, too), "average_precision", "accuracy" or "f1".
        split: "random" (which None is, too) draws a new split for every seed. A function of the seed returns three
            masks or three tensors of numbers of edges, one direction of each being enough.
        shares: What a drawn split gives to the training, validation and test part.

    Raises:
        DatasetError: When the graph is directed, too dense, or a part is empty.
        SettingError: When an argument is not one of those above.
    """
    where = f"the data of {require_name(name)}"
    require_shares(shares)
    if split not in (None, "random") and not callable(split):
        raise SettingError(f"split is {split!r}, expected None, 'random' or a function of the seed")
    data = checked_data(data, where)
    # What PyG's splits of links name so holds links that are hidden here.
    for key in [key for key in data.to_dict() if "edge_label" in key or key.endswith("_edge_index")]:
        del data[key]
    nodes, features, objective = node_count(data), sparse_features(data), Binary(metric or "roc_auc")
    link_of_edge, links = _links(cast(Tensor, data.edge_index), nodes, where)

    def at(seed: int) -> LinkPrediction:
        generator = torch.Generator().manual_seed(seed)
        if callable(split):
            chosen = _chosen_links(name, split(seed), link_of_edge, links)
            parts = with_non_links(links, nodes, chosen, generator)
        else:
            parts = random_links(links, nodes, shares[1:], generator)
        for part, of_part in zip(PARTS, parts, strict=True):
            if of_part.positive.shape[1] == 0:
                raise DatasetError(
                    f"the {part} part of {name} is empty: {links.shape[1]} links are too few for {shares}"
                )
        train, validation, test = parts
        is_message = torch.isin(link_of_edge, _numbers_of(train.positive, links, nodes))
        return LinkPrediction(
            name=name,
            source=GIVEN,
            protocol="clean",
            features=features,
            edge_index=torch.cat([train.positive, train.positive.flip(0)], dim=1),
            train=train,
            validation=validation,
            test=test,
            graph_edges=links.shape[1],
            classes=_node_classes(data),
            objective=objective,
            data=_with_edges(data, is_message),
        )

    return usable(GivenTask(name, at))


def _links(edge_index: Tensor, nodes: int, where: str) -> tuple[Tensor, Tensor]:
    """The number of every edge's link, [edges], -1 for self-loops, and the links, [2, links] as (low, high).

    Raises `DatasetError` for a directed graph, and for one whose pairs are mostly links.
    """
    low, high = edge_index.amin(0), edge_index.amax(0)
    joins, key = low != high, low * nodes + high
    forwards = edge_index[0] < edge_index[1]
    there, back = key[joins & forwards].unique(), key[joins & ~forwards].unique()
    if not torch.equal(there, back):
        single = torch.cat([there[~torch.isin(there, back)], back[~torch.isin(back, there)]])
        first = f"{int(single[0]) // nodes} and {int(single[0]) % nodes}"
        raise DatasetError(
            f"{where} is directed: {len(single)} edges have no edge back, such as that between the nodes {first}; add "
            "them with torch_geometric.utils.to_undirected"
        )
    if 4 * len(there) > nodes * (nodes - 1):
        raise DatasetError(
            f"{where} has {len(there)} links among {nodes} nodes, more than half of all pairs; too few pairs are left "
            "to tell them from"
        )
    number = torch.searchsorted(there, key).where(joins, -1)
    return number, torch.stack([there // nodes, there % nodes])


def _numbers_of(pairs: Tensor, links: Tensor, nodes: int) -> Tensor:
    """The numbers of some of the links, given as pairs (low, high)."""
    key, known = (ends[0] * nodes + ends[1] for ends in (pairs, links))
    return torch.searchsorted(known, key)


def _chosen_links(task: str, parts: object, link_of_edge: Tensor, links: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The links of the edges of each part; an edge and its way back are the same link."""
    split = checked_split(task, len(link_of_edge), parts)
    numbers = [link_of_edge[getattr(split, part)].unique() for part in PARTS]
    chosen = checked_split(f"the links of {task}", links.shape[1], [number[number >= 0] for number in numbers])
    return links[:, chosen.train], links[:, chosen.validation], links[:, chosen.test]


def _with_edges(data: "Data", kept: Tensor) -> "Data":
    """A copy of a graph with those edges only, and with what belongs to them."""
    result = copy.copy(data)
    for key in data.edge_attrs():
        value = cast(Tensor, data[key])
        axis = int(data.__cat_dim__(key, value))
        result[key] = value.index_select(axis, kept.nonzero().flatten())
    return result


def _node_classes(data: "Data") -> int:
    """How many classes the nodes have, as the statistics tell; 0 where they have none."""
    labels = data.y
    return int(labels.max()) + 1 if isinstance(labels, Tensor) and labels.dtype == torch.int64 and len(labels) else 0
