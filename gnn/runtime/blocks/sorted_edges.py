"""Edges by target and source, sorted in bounded memory."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from gnn.errors import SettingError
from gnn.runtime.blocks.row_tables import raw, release
from gnn.runtime.graph_cache import require_nodes

Array = np.ndarray[Any, Any]
# What sorting an edge takes at most: its ends as they come, a key, the order of keys and what the sort itself keeps.
SORTING_BYTES = 112


@dataclass(frozen=True)
class SortedEdges:
    """Sources of edges, sorted by target and source; in memory, or on disk where they are file names.

    Shapes: pointer [nodes + 1], the edges of target i are pointer[i] to pointer[i + 1]; source, weight [edges].
    """

    pointer: Tensor
    source: Array | Path
    weight: Array | Path | None

    @property
    def nodes(self) -> int:
        """How many targets there are."""
        return len(self.pointer) - 1

    def count(self, start: int, stop: int) -> int:
        """How many edges the targets from start to stop have."""
        return int(self.pointer[stop] - self.pointer[start])

    def block(self, start: int, stop: int) -> tuple[Tensor, Tensor, Tensor]:
        """The edges of the targets from start to stop: pointer [targets + 1], source and weight [edges]."""
        first, last = int(self.pointer[start]), int(self.pointer[stop])
        kind = index_type(self.nodes)
        source = torch.from_numpy(_read(self.source, kind, first, last))
        pointer = (self.pointer[start : stop + 1] - first).to(source.dtype)
        if self.weight is None:
            return pointer, source, torch.ones(len(source))
        return pointer, source, torch.from_numpy(_read(self.weight, np.float32, first, last))


def index_type(nodes: int) -> type[Any]:
    """The smaller integers, where they fit."""
    return np.int32 if nodes < 2**31 else np.int64


def _read(kept: Array | Path, kind: type[Any], first: int, last: int) -> Array:
    if isinstance(kept, np.ndarray):
        return kept[first:last]
    return np.fromfile(kept, kind, last - first, offset=first * np.dtype(kind).itemsize)


class EdgeSorter:
    """Sorts edges [2, edges] and their weights, arrays or memory maps in any order, in bounded memory.

    `memory_bytes` are for edges, beside the pointer.
    Edges are counted by target, written to the part of a file that their target belongs to, and sorted part by part.
    Raises `SettingError` for an edge of a node that does not exist, and where the edges of a target do not fit.
    """

    def __init__(self, edges: Array, weight: Array | None, nodes: int, memory_bytes: int) -> None:
        self.edges, self.weight, self.nodes = edges, weight, nodes
        self.most = max(1, memory_bytes // SORTING_BYTES)
        self.kind = index_type(nodes)
        self.count = edges.shape[1]

    @property
    def sorted_bytes(self) -> int:
        """What sources and weights take where they stay in memory."""
        return self.count * (np.dtype(self.kind).itemsize + 4 * (self.weight is not None))

    def sort(self, folder: Path, *, in_memory: bool) -> SortedEdges:
        """The edges by target and source; equal ones as they came."""
        pointer = self._counted()
        if self.count <= self.most:
            return SortedEdges(pointer, *self._by_target(*self._chunk(0, self.count)))
        bounds = self._parts(pointer)
        parts = self._distributed(pointer, bounds, folder)
        names = ["source"] + ["weight"] * (self.weight is not None)
        kept = {name: folder / f"edges.{name}" for name in names}
        with ExitStack() as stack:
            streams = [stack.enter_context(path.open("wb")) for path in kept.values()]
            for first, last in pairwise(pointer[bounds].tolist()):
                target, source, *weight = (_read(path, kind, first, last) for path, kind in parts)
                found = self._by_target(source, target, *weight)
                for stream, numbers in zip(streams, found, strict=False):
                    cast(Array, numbers).tofile(stream)
        for path, _ in parts:
            path.unlink()
        if not in_memory:
            return SortedEdges(pointer, kept["source"], kept.get("weight"))
        weights = np.fromfile(kept["weight"], np.float32) if "weight" in kept else None
        return SortedEdges(pointer, np.fromfile(kept["source"], self.kind), weights)

    def _chunk(self, first: int, last: int) -> tuple[Array, Array, Array | None]:
        """Sources, targets and weights of the edges from first to last."""
        source, target = np.array(self.edges[:, first:last])
        weight = None if self.weight is None else np.array(self.weight[first:last])
        for read in (self.edges, self.weight):
            if read is not None:
                release(read)
        return source, target, weight

    def _chunks(self) -> Iterator[tuple[Array, Array, Array | None]]:
        """The same of as many edges as fit, one after the other."""
        for first in range(0, self.count, self.most):
            yield self._chunk(first, min(first + self.most, self.count))

    def _counted(self) -> Tensor:
        pointer = torch.zeros(self.nodes + 1, dtype=torch.int64)
        for source, target, _ in self._chunks():
            require_nodes(torch.from_numpy(np.stack([source, target])), (self.nodes, self.nodes))
            pointer[1:].scatter_add_(0, torch.from_numpy(target), torch.ones(1, dtype=torch.int64).expand(len(target)))
        return pointer.cumsum_(0)

    def _parts(self, pointer: Tensor) -> list[int]:
        """Where parts of targets begin and end, each with as many edges as can be sorted at a time."""
        bounds = [0]
        while bounds[-1] < self.nodes:
            most = int(pointer[bounds[-1]]) + self.most
            stop = int(torch.searchsorted(pointer, most, right=True)) - 1
            if stop <= bounds[-1]:
                node, degree = bounds[-1], int(pointer[bounds[-1] + 1] - pointer[bounds[-1]])
                raise SettingError(
                    f"node {node} has {degree} neighbours, and memory_limit lets {self.most} be sorted at a time; "
                    "give a larger memory_limit"
                )
            bounds.append(stop)
        return bounds

    def _distributed(self, pointer: Tensor, bounds: list[int], folder: Path) -> list[tuple[Path, type[Any]]]:
        """Files of targets, sources and weights in which each part has its place, with what they hold."""
        parts = [(folder / "part.target", self.kind), (folder / "part.source", self.kind)]
        parts += [(folder / "part.weight", np.float32)] * (self.weight is not None)
        next_edge, last_of = pointer[bounds].tolist(), np.array(bounds[1:])
        with ExitStack() as stack:
            streams = [stack.enter_context(path.open("wb")) for path, _ in parts]
            for source, target, weight in self._chunks():
                part = np.searchsorted(last_of, target, side="right").astype(np.int32)
                order = np.argsort(part, kind="stable")
                ends = np.bincount(part, minlength=len(last_of)).cumsum().tolist()
                columns = [target, source] + [weight] * (weight is not None)
                for column, stream, (_, kind) in zip(columns, streams, parts, strict=True):
                    sorted_column = cast(Array, column)[order].astype(kind, copy=False)
                    for number, (first, last) in enumerate(pairwise([0, *ends])):
                        stream.seek(next_edge[number] * sorted_column.itemsize)
                        stream.write(raw(sorted_column[first:last]))
                next_edge = [at + size for at, size in zip(next_edge, np.diff([0, *ends]).tolist(), strict=False)]
        return parts

    def _by_target(self, source: Array, target: Array, weight: Array | None = None) -> tuple[Array, Array | None]:
        key = torch.from_numpy(target.astype(np.int64))
        key.sub_(int(key.min()) if len(key) else 0).mul_(self.nodes).add_(torch.from_numpy(source))
        order = torch.argsort(key, stable=True).numpy()
        of_edges = None if weight is None else weight[order].astype(np.float32, copy=False)
        return source[order].astype(self.kind, copy=False), of_edges
