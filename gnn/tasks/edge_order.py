"""An order for edges that belongs to the edges alone, so that the one they come in changes nothing.

Equal edges and self-loops stay, and edges that are in order already come back as the same tensor.
"""

import torch
from torch import Tensor

from gnn.errors import DatasetError


def require_nodes(edge_index: Tensor, nodes: int) -> None:
    """Raise `DatasetError` for an edge of [2, edges] whose nodes are not all among 0 to nodes - 1."""
    unknown = ((edge_index < 0) | (edge_index >= nodes)).any(0)
    if bool(unknown.any()):
        source, target = edge_index[:, unknown][:, 0].tolist()
        raise DatasetError(
            f"an edge goes from node {source} to node {target}, but there are {nodes} nodes, numbered from 0 on; "
            "correct the edge or add the features of the nodes that are missing"
        )


def by_target(edge_index: Tensor, nodes: int) -> Tensor:
    """Sort edges [2, edges] by (target, source); raises `DatasetError` for a node that does not exist."""
    require_nodes(edge_index, nodes)
    return _sorted(edge_index, edge_index[1] * nodes + edge_index[0])


def by_link(edge_index: Tensor, links: Tensor, nodes: int) -> Tensor:
    """Sort edges [2, edges] to a higher node before those to a lower one, both in the order of `links` [2, links].

    With an edge between two nodes that is no link among them, both are sorted by (higher node, lower node) instead.
    Raises `DatasetError` for a node that does not exist.
    """
    require_nodes(edge_index, nodes)
    key, known = (pairs.amax(0) * nodes + pairs.amin(0) for pairs in (edge_index, links))
    joins = edge_index[0] != edge_index[1]
    all_links = bool(torch.isin(key[joins], known).all())
    known = torch.cat([known, key.unique()]) if all_links else key.unique()
    ordered, place = known.sort(stable=True)
    rank = place[torch.searchsorted(ordered, key)]
    return _sorted(edge_index, (edge_index[0] > edge_index[1]) * len(known) + rank)


def _sorted(edge_index: Tensor, key: Tensor) -> Tensor:
    if bool((key.diff() >= 0).all()):
        return edge_index
    return edge_index[:, torch.argsort(key, stable=True)]
