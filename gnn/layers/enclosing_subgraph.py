"""Enclosing subgraphs: for each pair of nodes the part of the graph around it, without a link between the two."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from gnn.errors import DatasetError
from gnn.layers.symmetric_pattern import SymmetricPattern

SCRATCH_ENTRIES = 2**22  # pairs times nodes that are looked at together; bounds the memory, not the result


@dataclass(frozen=True, eq=False)
class EnclosingSubgraphs:
    """The subgraphs of some pairs beside each other; those of any selection of the pairs are again one of these.

    The first two nodes of every subgraph are its pair, in the order of the pair.
    Shapes: node [total nodes], their numbers in the whole graph; node_pointer [pairs + 1], the nodes of each pair;
    pattern: the edges between positions in `node`.
    """

    node: Tensor
    node_pointer: Tensor
    pattern: SymmetricPattern

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self.node_pointer) - 1

    @property
    def ends(self) -> Tensor:
        """Positions of the two nodes of every pair, [pairs, 2]."""
        return self.node_pointer[:-1, None] + torch.arange(2, device=self.node.device)

    @cached_property
    def edge_pointer(self) -> Tensor:
        """The edges of each pair's subgraph, [pairs + 1]."""
        return self.pattern.pointer[self.node_pointer]

    def take(self, index: Tensor) -> "EnclosingSubgraphs":
        """The subgraphs of the pairs `index` [selected], in that order."""
        pattern = self.pattern
        nodes, node_pointer, node_shift = _take_ragged(self.node_pointer, index)
        edges, _, edge_shift = _take_ragged(self.edge_pointer, index)
        counts = self.edge_pointer.diff()[index]
        taken = SymmetricPattern(
            _pointer(pattern.degree.index_select(0, nodes)),
            pattern.column.index_select(0, edges) + torch.repeat_interleave(node_shift, counts),
            pattern.reverse.index_select(0, edges) + torch.repeat_interleave(edge_shift, counts),
        )
        return EnclosingSubgraphs(self.node.index_select(0, nodes), node_pointer, taken)


def enclosing_subgraphs(edge_index: Tensor, nodes: int, pairs: Tensor, hops: int) -> EnclosingSubgraphs:
    """Cut out, for every pair (i, j), all nodes within `hops` of i or j and the edges between them except i - j.

    Edges count in both directions and once each; self-loops do not count. Whether i and j are linked changes
    nothing: neither the nodes (a walk over i - j starts at a node that is already in) nor the edges.
    Source: Zhang and Chen, arXiv 1802.09691, section 3. Raises `DatasetError` for a pair of a node with itself.
    Shapes: edge_index [2, edges], pairs [2, pairs].
    """
    if bool((pairs[0] == pairs[1]).any()):
        loop = int(pairs[0, pairs[0] == pairs[1]][0])
        raise DatasetError(f"node {loop} is paired with itself; a subgraph encloses two nodes, so drop such pairs")
    graph = _simple_graph(edge_index, nodes)
    chunks = pairs.split(max(1, SCRATCH_ENTRIES // max(nodes, 1)), dim=1)
    return _joined([_cut_out(graph, chunk, hops) for chunk in chunks])


def _simple_graph(edge_index: Tensor, nodes: int) -> tuple[Tensor, Tensor]:
    """Pointer [nodes + 1] and neighbours of the graph, undirected and without equal edges and self-loops."""
    both = torch.cat([edge_index, edge_index.flip(0)], dim=1)
    both = both[:, both[0] != both[1]]
    key = torch.unique(both[0] * nodes + both[1])
    return _pointer(torch.bincount(key // nodes, minlength=nodes)), key % nodes


def _cut_out(graph: tuple[Tensor, Tensor], pairs: Tensor, hops: int) -> EnclosingSubgraphs:
    """The subgraphs of a few pairs; a key is the number of the pair times the nodes of the graph plus the node."""
    nodes, count = len(graph[0]) - 1, pairs.shape[1]
    key = _reached(graph, pairs, hops)
    owner = key // nodes
    place = key.new_full((count * nodes,), -1)
    place[key] = torch.arange(len(key), device=key.device)
    node_pointer = _pointer(torch.bincount(owner, minlength=count))
    source, neighbour = _neighbours(graph, key)
    row, column = place[key[source]], place[neighbour]
    first = node_pointer[owner[source]]
    kept = (column >= 0) & ~((row < first + 2) & (column < first + 2))
    return EnclosingSubgraphs(key % nodes, node_pointer, SymmetricPattern.from_edges(row[kept], column[kept], len(key)))


def _reached(graph: tuple[Tensor, Tensor], pairs: Tensor, hops: int) -> Tensor:
    """Keys of all nodes within `hops` of a pair, sorted by pair and then by the hop in which they were found."""
    nodes, count = len(graph[0]) - 1, pairs.shape[1]
    frontier = (pairs + torch.arange(count, device=pairs.device) * nodes).t().flatten()
    seen = torch.zeros(count * nodes, dtype=torch.bool, device=pairs.device)
    seen[frontier] = True
    found = [frontier]
    for _ in range(hops):
        _, neighbour = _neighbours(graph, frontier)
        frontier = torch.unique(neighbour[~seen[neighbour]])
        seen[frontier] = True
        found.append(frontier)
    key = torch.cat(found)
    return key[torch.argsort(key // nodes, stable=True)]


def _neighbours(graph: tuple[Tensor, Tensor], key: Tensor) -> tuple[Tensor, Tensor]:
    """Position in `key` and neighbour, again as a key, for every neighbour of every key."""
    pointer, column = graph
    nodes = len(pointer) - 1
    entries, starts, _ = _take_ragged(pointer, key % nodes)
    position = torch.repeat_interleave(torch.arange(len(key), device=key.device), starts.diff())
    return position, key[position] // nodes * nodes + column[entries]


def _joined(parts: list[EnclosingSubgraphs]) -> EnclosingSubgraphs:
    """The subgraphs of all parts beside each other."""
    node_start = _pointer(torch.tensor([len(part.node) for part in parts])).tolist()
    edge_start = _pointer(torch.tensor([len(part.pattern.column) for part in parts])).tolist()
    patterns = [part.pattern for part in parts]
    return EnclosingSubgraphs(
        torch.cat([part.node for part in parts]),
        _pointer(torch.cat([part.node_pointer.diff() for part in parts])),
        SymmetricPattern(
            _pointer(torch.cat([pattern.degree for pattern in patterns])),
            torch.cat([pattern.column + start for pattern, start in zip(patterns, node_start, strict=False)]),
            torch.cat([pattern.reverse + start for pattern, start in zip(patterns, edge_start, strict=False)]),
        ),
    )


def _take_ragged(pointer: Tensor, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Positions of the entries of some lists, the pointer of the taken lists, and by how much each list moves."""
    counts = pointer.diff()[index]
    taken = _pointer(counts)
    shift = taken[:-1] - pointer[index]
    total = torch.arange(int(taken[-1]), device=pointer.device)
    return total - torch.repeat_interleave(shift, counts), taken, shift


def _pointer(counts: Tensor) -> Tensor:
    pointer = counts.new_zeros(len(counts) + 1)
    torch.cumsum(counts, 0, out=pointer[1:])
    return pointer
