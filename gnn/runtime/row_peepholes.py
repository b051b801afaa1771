"""Rewritings of programs of rows: several as one, with bytes between those that stay apart."""

from typing import Any, cast

from torch import fx, nn

from gnn.native.row_steps import Activate, ByChannel, Quantize, Read, Step
from gnn.runtime.integer_layers import MaximumOfRows, Rows
from gnn.runtime.kernels import ScaleShift
from gnn.runtime.readouts import Readout


class RowPeepholes:
    """The peepholes for programs of rows, for a rewriting that has the others."""

    def _computed(self, node: fx.Node) -> Any:  # noqa: ANN401
        raise NotImplementedError

    def _only_read_by(self, node: fx.Node) -> fx.Node | None:
        raise NotImplementedError

    def _insert(self, before: fx.Node, kernel: nn.Module, *arguments: Any) -> fx.Node:  # noqa: ANN401
        raise NotImplementedError

    def _replace(self, node: fx.Node, kernel: nn.Module, *arguments: Any) -> None:  # noqa: ANN401
        raise NotImplementedError

    def _rows_in_one(self, node: fx.Node) -> bool:
        """What follows upon rows that nobody else reads is done to them at once."""
        product = self._only_read_by(node)
        rows, before = self._rows_of(node), None if product is None else self._rows_of(product)
        if product is None or rows is None or before is None or before.grid is not None:
            return False
        if rows.steps[0] != Read() or not {type(self._computed(node)), type(self._computed(product))} & {Rows}:
            return False
        together = Rows([*before.steps, *rows.steps[1:]], rows.grid, before.norms)
        self._replace(node, together, *product.args, *node.args[1:])
        product.graph.erase_node(product)
        return True

    def _rows_of(self, node: fx.Node) -> Rows | None:
        """What a node computes as a program of rows."""
        kernel = self._computed(node)
        if isinstance(kernel, ScaleShift):
            return Rows([Read(), ByChannel(kernel.scale, kernel.shift)])
        return (
            kernel if isinstance(kernel, Rows) and len(node.args) == sum(step.reads for step in kernel.steps) else None
        )

    def _bytes_between(self, node: fx.Node) -> bool:
        """Rows that end on a grid are handed on as bytes to readers that know the grid."""
        rows = self._rows_of(node)
        if type(self._computed(node)) is ScaleShift or rows is None or not isinstance(rows.steps[-1], Quantize):
            return False
        readers = [(user, self._rows_of(user)) for user in node.users]
        grid = rows.steps[-1].grid
        read = [
            None if reader is None else reader.reading(grid, [arg is node for arg in user.args])
            for user, reader in readers
        ]
        if any(reader is None for reader in read):
            return False
        made = self._insert(node, Rows(rows.steps[:-1], grid, rows.norms), *node.args)
        for (user, _), reader in zip(readers, read, strict=True):
            self._replace(user, cast(Rows, reader), *[made if arg is node else arg for arg in user.args])
        node.graph.erase_node(node)
        return True

    def _maximum_of_rows(self, node: fx.Node) -> bool:
        """A maximum over nodes comes before what grows with its numbers."""
        readout, product = self._computed(node), self._only_read_by(node)
        rows = None if product is None else self._rows_of(product)
        if type(readout) is not Readout or readout.kind != "max" or product is None or rows is None or rows.grid:
            return False
        after: list[Step] = []
        steps = list(rows.steps)
        while _grows(steps[-1]):
            after.insert(0, steps.pop())
        if not after:
            return False
        before = self._insert(node, Rows(steps, norms=rows.norms), *product.args)
        self._replace(node, MaximumOfRows(readout, Rows([Read(), *after])), before, *node.args[1:])
        product.graph.erase_node(product)
        return True


def _grows(step: Step) -> bool:
    """Whether a step gives each number one that grows with it, and a smaller one nothing larger."""
    if isinstance(step, ByChannel):
        return step.scale is None or bool((step.scale >= 0).all())
    return isinstance(step, Quantize | Activate)
