"""Takes the steps of a plan in bounded memory, block of nodes by block of nodes."""

import ctypes
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import torch
from torch import Tensor

from gnn.errors import SettingError
from gnn.layers import CsrMatrix
from gnn.runtime.blocks.edge_rows import EdgeRows, NormalisedRows, WholeMatrix
from gnn.runtime.blocks.plan import Plan
from gnn.runtime.blocks.row_tables import MappedRows, MemoryRows, raw
from gnn.runtime.blocks.sorted_edges import EdgeSorter, SortedEdges
from gnn.runtime.blocks.steps import GivenArray, OverEdges, Step

# What an edge takes in a block beside the row of its source: numbers of rows, the order of sources, what sorts them.
EDGE_BYTES, ROW_BYTES = 96, 64
# A row of a step, what the step before gave, and what a maximum keeps of each number.
COPIES = 4
# Percent of the limit for tables, and as many for a block; the rest is for what the allocator does not give back.
SHARE = 40
# What is read along edges by an aggregation, and through which matrix.
Over = OverEdges | CsrMatrix
MatrixRows = WholeMatrix | EdgeRows | NormalisedRows


class Run:
    """One way through a plan.

    The limit, less what there is for each node, is for tables and edges that stay in memory, for a block, which has at
    most `most_rows` nodes, and for what the system keeps of either. Raises `SettingError` where the limit is too small.
    """

    def __init__(self, plan: Plan, limit: int, folder: Path, most_rows: int | None = None) -> None:
        self.plan, self.limit, self.folder, self.most_rows = plan, limit, folder, most_rows or plan.nodes
        self.tables = {step: step.given for step in plan.order if step.given is not None and step not in plan.stored}
        self.overs = list(dict.fromkeys(step.over for step in plan.order if step.over is not None))
        self.edges = dict.fromkeys((over.edges, over.weight) for over in self.overs if isinstance(over, OverEdges))
        scaled = sum(isinstance(over, OverEdges) and over.normalises for over in self.overs)
        fixed = 8 * (plan.nodes + 1) * len(self.edges) + 4 * plan.nodes * scaled
        self.pool = (limit - fixed) * SHARE // 100
        # Entries of a block are counted in int32.
        self.work = min(self.pool, EDGE_BYTES * (2**31 - 1))
        if self.pool < 1:
            raise SettingError(
                f"memory_limit is {limit} bytes, and the graph has {plan.nodes} nodes, for which alone {fixed} bytes "
                f"are needed; give {4 * fixed} or more"
            )
        self.matrices: dict[Over, MatrixRows] = {}

    def take(self, output: IO[bytes] | None = None) -> Tensor | None:
        """Take all steps; the result, which goes to `output` where there is one."""
        edges = {given: self._sorted(*given, number) for number, given in enumerate(self.edges)}
        give_back()
        for over in self.overs:
            self.matrices[over] = rows = _matrix_rows(over, edges)
            if isinstance(rows, NormalisedRows):
                rows.scale(self._ranges([over], ROW_BYTES, {}))
        for step in self.plan.stored:
            self._store(step, output if step is self.plan.result else None)
            for read in self.plan.last_read_by(step):
                self._forget(read)
            give_back()
        return None if output is not None else cast(MemoryRows, self.tables[self.plan.result]).resident

    def _sorted(self, edges: GivenArray, weight: GivenArray | None, number: int) -> SortedEdges:
        folder = self.folder / f"edges-{number}"
        folder.mkdir()
        sorter = EdgeSorter(edges.array, None if weight is None else weight.array, self.plan.nodes, self.work)
        return sorter.sort(folder, in_memory=self._fits(sorter.sorted_bytes))

    def _fits(self, size: int) -> bool:
        """Whether so many bytes are left in memory, which are gone then."""
        fits = size <= self.pool
        self.pool -= size * fits
        return fits

    def _store(self, step: Step, output: IO[bytes] | None) -> None:
        nodes, width = self.plan.nodes, self.plan.widths[step]
        if output is not None:
            header = {"descr": "<f4", "fortran_order": False, "shape": (nodes, width)}
            np.lib.format.write_array_header_1_0(output, header)
            self._write(step, output)
        elif self._fits(4 * nodes * width):
            rows = torch.empty(nodes, width)
            for start, stop, block in self._blocks(step):
                rows[start:stop] = block
            self.tables[step] = MemoryRows(rows)
        elif step is self.plan.result:
            raise SettingError(
                f"the result takes {4 * nodes * width} bytes, and memory_limit leaves {self.pool} for it; give "
                f"output=, a file that takes it, or a memory_limit of {self.limit + 12 * nodes * width}"
            )
        else:
            path = self.folder / f"table-{self.plan.stored.index(step)}"
            with path.open("wb") as stream:
                self._write(step, stream)
            self.tables[step] = MappedRows(np.memmap(path, np.float32, "r", shape=(nodes, width)))

    def _write(self, step: Step, stream: IO[bytes]) -> None:
        for _, _, block in self._blocks(step):
            stream.write(raw(block.contiguous().numpy()))

    def _forget(self, step: Step) -> None:
        rows = self.tables.pop(step)
        if isinstance(rows, MemoryRows):
            self.pool += 4 * rows.count * rows.width
        else:
            (self.folder / f"table-{self.plan.stored.index(step)}").unlink()

    def _blocks(self, stored: Step) -> Iterator[tuple[int, int, Tensor]]:
        """The rows of a table, block by block, each with where it starts and stops."""
        inside, widths = self.plan.inside(stored), self.plan.widths
        row_bytes = ROW_BYTES + 4 * COPIES * sum(widths[step] for step in {*inside, *self.plan.reads(stored)})
        overs = list(dict.fromkeys(step.over for step in inside if step.over is not None))
        gathered = {
            (step.over, step.sources): (4 * widths[step.sources] // step.tables, self.plan.nodes * step.tables)
            for step in inside
            if step.over is not None and step.sources is not None and self.tables[step.sources].resident is None
        }
        for start, stop in self._ranges(overs, row_bytes, gathered):
            yield start, stop, _Block(self, stored, start, stop).rows(stored)

    def _ranges(
        self, overs: Sequence[Over], row_bytes: int, gathered: dict[tuple[Over, Step], tuple[int, int]]
    ) -> Iterator[tuple[int, int]]:
        """Blocks of nodes that take as much memory as there is for one."""

        def taken(start: int, stop: int) -> int:
            entries = {over: self.matrices[over].entries(start, stop) for over in overs}
            size = row_bytes * (stop - start) + EDGE_BYTES * sum(entries.values())
            return size + sum(width * min(entries[over], rows) for (over, _), (width, rows) in gathered.items())

        start = 0
        while start < self.plan.nodes:
            most = min(self.plan.nodes, start + self.most_rows)
            stop = start + bisect_right(range(start + 1, most + 1), self.work, key=lambda end, at=start: taken(at, end))
            if stop == start:
                entries = sum(self.matrices[over].entries(start, start + 1) for over in overs)
                size = taken(start, start + 1)
                raise SettingError(
                    f"node {start} reads the rows of {entries} neighbours, which takes {size} bytes, and memory_limit "
                    f"leaves {self.work}; give {self.limit + 3 * size} or more"
                )
            yield start, stop
            start = stop


class _Block:
    """The rows of some nodes, each step's computed once."""

    def __init__(self, run: Run, stored: Step, start: int, stop: int) -> None:
        self._run, self._stored, self._start, self._stop = run, stored, start, stop
        self._made: dict[Step, Tensor] = {}
        self._neighbours: dict[tuple[Any, Step], tuple[CsrMatrix, Tensor]] = {}

    def rows(self, step: Step) -> Tensor:
        """The rows of a step."""
        if step not in self._made:
            table = step.given if step is self._stored else self._run.tables.get(step)
            self._made[step] = self._computed(step) if table is None else table.block(self._start, self._stop)
        return self._made[step]

    def _computed(self, step: Step) -> Tensor:
        own = [self.rows(read) for read in step.inputs]
        if step.sources is None:
            return step.compute(*own)
        read = (step.over, step.sources)
        if read not in self._neighbours:
            self._neighbours[read] = self._neighbourhood(step)
        return step.compute(*self._neighbours[read], *own)

    def _neighbourhood(self, step: Step) -> tuple[CsrMatrix, Tensor]:
        """The rows of a step's matrix, and the table that their columns are of."""
        matrix = self._run.matrices[cast(Over, step.over)].block(self._start, self._stop)
        table = self._run.tables[cast(Step, step.sources)].per_table(step.tables)
        if table.resident is not None:
            return matrix, table.resident
        index, local = torch.unique(matrix.column, return_inverse=True)
        pointer = matrix.row_pointer
        own = CsrMatrix(pointer, local.to(pointer.dtype), matrix.value, (self._stop - self._start, len(index)))
        return own, cast(MappedRows, table).gather(index)


def give_back() -> None:
    """Have the allocator return what is free to the system, where it can be asked to; it would keep all of it."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def _matrix_rows(over: Over, edges: dict[Any, SortedEdges]) -> MatrixRows:
    if isinstance(over, CsrMatrix):
        return WholeMatrix(over)
    make: Callable[..., Any] = NormalisedRows if over.normalises else EdgeRows
    return make(edges[over.edges, over.weight], **dict(over.settings))
