"""Checks of anybody's PyG graphs, and what our own models take of them."""

import copy
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from gnn.errors import DatasetError
from gnn.layers import CsrMatrix
from gnn.tasks.edge_order import require_nodes
from gnn.tasks.fingerprint import tensors_of_data
from gnn.tasks.given_splits import MASKS

if TYPE_CHECKING:
    from torch_geometric.data import Data


def checked_data(data: Any, where: str, nodes: int | None = None) -> "Data":  # noqa: ANN401
    """A shallow copy of a PyG graph on the CPU, without the masks of a split.

    `nodes` is the number of nodes of a graph that does not tell it itself. Raises `DatasetError`, which calls the graph
    `where`, when it is no `Data`, has no edges [2, edges] of type int64 between its nodes, features that are not
    [nodes, channels] or not finite, or attributes without a fingerprint.
    """
    data = copy.copy(require_data(data, where))
    for mask in MASKS.values():
        if mask in data:
            del data[mask]
    data = data.to("cpu")
    if not any(key in data for key in ("num_nodes", "x", "pos", "batch", "node_type")):
        if nodes is None:
            raise DatasetError(f"{where} has neither x nor num_nodes; set data.num_nodes to the number of its nodes")
        data.num_nodes = nodes
    if data.x is not None:
        _require_features(data.x, where)
    edge_index = data.edge_index
    if not isinstance(edge_index, Tensor) or edge_index.dim() != 2 or len(edge_index) != 2:
        raise DatasetError(f"{where} has an edge_index {_shape(edge_index)}, expected a tensor [2, edges]; add it")
    if edge_index.dtype != torch.int64:
        raise DatasetError(f"{where} has an edge_index of {edge_index.dtype}, expected torch.int64; use .long()")
    try:
        require_nodes(edge_index, node_count(data))
        tensors_of_data(data)
    except DatasetError as error:
        raise DatasetError(f"{where}: {error}") from None
    return data


def require_data(data: Any, where: str) -> "Data":  # noqa: ANN401
    """The same object; raises `DatasetError` when it is no PyG graph of one type of nodes."""
    # PyG takes seconds to import, and who uses our own tasks only does without.
    from torch_geometric.data import Data  # noqa: PLC0415

    if not isinstance(data, Data):
        raise DatasetError(
            f"{where} is a {type(data).__name__}, expected a torch_geometric.data.Data; build one with x, edge_index "
            "and y, or take one graph out of a dataset, such as dataset[0]"
        )
    return data


def node_count(data: "Data") -> int:
    """How many nodes a checked graph has."""
    return cast(int, data.num_nodes)


def sparse_features(data: "Data") -> CsrMatrix:
    """The features of a graph as our own models read them, (nodes, channels); without any there are no channels."""
    features = dense_features(data)
    nodes = len(features)
    row, column = features.nonzero(as_tuple=True)
    pointer = torch.cat([row.new_zeros(1), torch.bincount(row, minlength=nodes).cumsum(0)])
    return CsrMatrix(pointer, column, features[row, column], (nodes, features.shape[1]))


def dense_features(data: "Data") -> Tensor:
    """The features of a graph in FP32, [nodes, channels]; without any there are no channels."""
    return torch.zeros(node_count(data), 0) if data.x is None else data.x.float()


def _require_features(x: object, where: str) -> None:
    if not isinstance(x, Tensor) or x.layout != torch.strided or x.dim() != 2:
        raise DatasetError(
            f"{where} has features x {_shape(x)}, expected a dense tensor [nodes, channels]; reshape it, for example "
            "with x.view(-1, 1)"
        )
    infinite = ~x.isfinite()
    if bool(infinite.any()):
        node, channel = infinite.nonzero()[0].tolist()
        raise DatasetError(
            f"{where} has the feature {float(x[node, channel])} in channel {channel} of node {node}, expected finite "
            f"numbers ({int(infinite.sum())} are not); replace it, for example with torch.nan_to_num"
        )


def _shape(value: object) -> str:
    if isinstance(value, Tensor):
        return f"of the shape {tuple(value.shape)}"
    return "None" if value is None else f"of the type {type(value).__name__}"
