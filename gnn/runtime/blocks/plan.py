"""Which steps become tables, how wide they are, and what is taken for each."""

from collections import Counter
from typing import Any, cast

import torch
from torch import Tensor

from gnn.errors import SettingError
from gnn.layers import CsrMatrix
from gnn.runtime.blocks.row_tables import MemoryRows
from gnn.runtime.blocks.steps import Step


class Plan:
    """The way to a result: what is read in any order, or twice, is written down as a table.

    `order` are the steps, each after what it reads; `widths` how long their rows are; `stored` those that become
    tables, the result last. Raises `SettingError` for features that do not fit the module or each other.
    """

    def __init__(self, result: Step) -> None:
        self.result = result
        self.order = _ordered(result)
        self.nodes = _nodes(self.order)
        self.widths = _widths(self.order)
        self.stored = _stored(self.order, result)

    def inside(self, stored: Step) -> list[Step]:
        """The steps that are taken for a table, from its rows back to other tables."""
        inside: dict[Step, None] = {}
        waiting = [stored]
        while waiting:
            step = waiting.pop()
            if step not in inside and (step is stored or (step not in self.stored and step.given is None)):
                inside[step] = None
                waiting += step.inputs
        return list(inside)

    def reads(self, stored: Step) -> set[Step]:
        """What the steps that are taken for a table read."""
        return {read for step in self.inside(stored) for read in step.reads}

    def last_read_by(self, stored: Step) -> list[Step]:
        """The tables that nobody reads after this one is there."""
        later = {read for step in self.stored[self.stored.index(stored) + 1 :] for read in self.reads(step)}
        before = self.stored[: self.stored.index(stored)]
        return [step for step in before if step not in later and step in self.reads(stored)]


def _ordered(result: Step) -> list[Step]:
    """The steps that a result needs, each after what it reads."""
    order: dict[Step, None] = {}
    waiting = [(result, False)]
    while waiting:
        step, ready = waiting.pop()
        if ready:
            order[step] = None
        elif step not in order:
            waiting += [(step, True), *((read, False) for read in step.reads)]
    return list(order)


def _nodes(order: list[Step]) -> int:
    """How many nodes all features and matrices are of."""
    counts = {step.given.count: step for step in order if step.given is not None}
    nodes = next(iter(counts))
    for step in order:
        if len(counts) > 1 or (isinstance(step.over, CsrMatrix) and step.over.shape != (nodes, nodes * step.tables)):
            of = list(counts) if len(counts) > 1 else [nodes, *cast(CsrMatrix, step.over).shape]
            raise SettingError(f"features and edges are of different numbers of nodes ({of}); give those of one graph")
    return nodes


def _widths(order: list[Step]) -> dict[Step, int]:
    """How long the rows of each step are, seen from three rows of zeros without edges."""
    rows: dict[Step, Tensor] = {}
    pointer, none = torch.zeros(4, dtype=torch.int64), torch.zeros(0, dtype=torch.int64)
    for step in order:
        own = [rows[read] for read in step.inputs]
        if step.sources is not None:
            table = rows[step.sources].reshape(3 * step.tables, -1)
            own = [cast(Any, CsrMatrix(pointer, none, torch.zeros(0), (3, 3 * step.tables))), table, *own]
        try:
            rows[step] = torch.zeros(3, step.given.width) if step.given is not None else step.compute(*own)
        except RuntimeError as error:
            widths = sorted({step.given.width for step in order if step.given is not None})
            what = f"features with {', '.join(map(str, widths))} channels do not fit the module"
            raise SettingError(
                f"{what} ({str(error).partition(chr(10))[0]}); give those that it was made for"
            ) from error
        if rows[step].dim() != 2 or len(rows[step]) != 3 or rows[step].dtype != torch.float32:
            raise SettingError(
                f"step {step.name!r} gives {rows[step].dtype} of {rows[step].dim()} axes, and blocks of nodes know one "
                "float32 row for each; call the compiled module on a graph that fits into memory"
            )
    return {step: found.shape[1] for step, found in rows.items()}


def _stored(order: list[Step], result: Step) -> list[Step]:
    """The steps whose rows become a table: those read along edges or, after an aggregation, twice, and the result."""
    sources = {step.sources for step in order if step.sources is not None}
    users = Counter(read for step in order for read in step.reads)
    aggregated: set[Step] = set()
    stored = []
    for step in order:
        has = step.over is not None or any(read in aggregated for read in step.inputs)
        sparse = step.given is not None and isinstance(step.given, MemoryRows) and step.given.resident is None
        if step is result or (step in sources and (step.given is None or sparse)) or (has and users[step] > 1):
            stored.append(step)
        elif has:
            aggregated.add(step)
    return stored
