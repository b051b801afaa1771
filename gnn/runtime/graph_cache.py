"""What was prepared for a graph, kept as long as the graph lives."""

from collections.abc import Callable, Hashable
from typing import Any, TypeVar, cast
from weakref import ref

import torch
from torch import Tensor

from gnn.errors import SettingError
from gnn.layers import CsrMatrix

Made = TypeVar("Made")


class GraphCache:
    """Values that were made of graphs, each found again by the identity of the tensors or matrices it was made of.

    A tensor that was changed in place is another one: its version tells, and its address where `.data` was replaced;
    changes that PyTorch does not count, such as those through NumPy, go unnoticed. An inference tensor has no version,
    so that its numbers are compared. A `CsrMatrix` is frozen. Nothing here keeps a graph alive, and what was made of it
    goes when it does.
    """

    def __init__(self) -> None:
        self._kept: dict[tuple[Hashable, int], tuple[tuple[ref[Any], ...], list[object], Any]] = {}

    def __deepcopy__(self, memo: dict[int, Any]) -> "GraphCache":
        return GraphCache()

    def get(self, key: Hashable, make: Callable[[], Made], *graph: Tensor | CsrMatrix) -> Made:
        """What `make` gave for this key and these parts of a graph, or gives now.

        `key` names what is made and with which settings; for one key and first part the latest others are kept.
        """
        place = (key, id(graph[0]))
        found = self._kept.get(place)
        if found is not None and type(graph[0]) is CsrMatrix and len(graph) == 1 and found[0][0]() is graph[0]:
            return found[2]
        if found is not None and len(found[1]) == len(graph) and all(map(_is_as_it_was, graph, found[1])):
            # An address may be another object's by now; a weak reference to the first one tells.
            for kept, part in zip(found[0], graph, strict=True):
                if kept() is not part:
                    break
            else:
                return found[2]
        # What is made in inference mode could not be used outside of it.
        with torch.inference_mode(mode=False), torch.no_grad():
            stamps, made = [_stamp(part) for part in graph], make()
        first = ref(graph[0], lambda _: self._kept.pop(place, None))
        self._kept[place] = ((first, *map(ref, graph[1:])), stamps, made)
        return made


def _stamp(part: Tensor | CsrMatrix) -> object:
    if type(part) is CsrMatrix:
        return 0
    tensor = cast(Tensor, part)
    return tensor.clone() if tensor.is_inference() else (tensor._version, tensor.data_ptr())


def _is_as_it_was(part: Tensor | CsrMatrix, stamp: Any) -> bool:  # noqa: ANN401
    if isinstance(stamp, Tensor):
        return isinstance(part, Tensor) and torch.equal(part, stamp)
    return (type(part) is CsrMatrix or not cast(Tensor, part).is_inference()) and _stamp(part) == stamp


STRUCTURE = GraphCache()
"""What depends on a graph alone, shared by all layers."""


def edge_matrix(
    edge_index: Tensor, weight: Tensor | None, shape: tuple[int, int], *, aggregation: str = "sum", own: float = 0.0
) -> CsrMatrix:
    """The matrix whose product adds up, or averages, what edges bring: rows are targets, columns sources.

    `own` is what a node's own row counts on top. Raises `SettingError` for an edge of a node that does not exist.
    Shapes: edge_index [2, edges], weight [edges], shape (targets, sources).
    """
    require_nodes(edge_index, shape)
    source, target = edge_index
    value = torch.ones(len(source), device=edge_index.device) if weight is None else weight
    if aggregation == "mean":
        value = value / torch.bincount(target, minlength=shape[0]).clamp(min=1)[target]
    matrix = CsrMatrix.from_coordinates(target, source, value, shape)
    return with_own_row(matrix, own) if own else matrix


def require_nodes(edge_index: Tensor, shape: tuple[int, int]) -> None:
    """Raise `SettingError` for an edge of a node that does not exist; shape (targets, sources)."""
    for side, nodes in zip(edge_index, reversed(shape), strict=True):
        wrong = side[(side < 0) | (side >= nodes)]
        if len(wrong):
            raise SettingError(
                f"an edge names node {int(wrong[0])}, but there are {nodes}; give an edge_index that fits the features"
            )


def with_own_row(matrix: CsrMatrix, factor: float = 1.0) -> CsrMatrix:
    """The matrix plus `factor` times the identity, for as many rows as there are columns or fewer."""
    node = torch.arange(matrix.shape[0], device=matrix.column.device)
    row, column = torch.cat([matrix.row, node]), torch.cat([matrix.column, node])
    value = torch.cat([matrix.value, torch.full_like(node, factor, dtype=matrix.value.dtype)])
    return CsrMatrix.from_coordinates(row, column, value, matrix.shape)
