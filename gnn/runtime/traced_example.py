"""What a trace is given, and the shapes of all else, in one call."""

import operator
from typing import Any, cast

import torch
from torch import Tensor, fx, nn

from gnn.errors import SettingError
from gnn.runtime.chain import Chain
from gnn.runtime.kernels import KERNEL, Product, aggregate, matrix_of, plus_own_row
from gnn.runtime.pyg_layers import Convolution
from gnn.runtime.steps import attribute

MATRIX_PRODUCTS = (operator.matmul, aggregate, torch.matmul)
# What only looks something up in what a call is given.
LOOKUPS = (getattr, operator.getitem, plus_own_row)


class Example(fx.Interpreter):
    """One pass that keeps what is given, and the shape of everything else."""

    def __init__(self, module: fx.GraphModule, graph: fx.Graph) -> None:
        super().__init__(module, graph=graph)
        self._steps = graph
        self.values: dict[fx.Node, Any] = {}
        self.shapes: dict[fx.Node, tuple[int, ...]] = {}
        self.dtypes: dict[fx.Node, torch.dtype | None] = {}

    def run_node(self, n: fx.Node) -> Any:  # noqa: ANN401
        """Run a step and look at what it gives."""
        value = super().run_node(n)
        self.shapes[n] = tuple(getattr(value, "shape", ()))
        self.dtypes[n] = getattr(value, "dtype", None)
        if n.op in ("placeholder", "get_attr") or looks_up(n):
            self.values[n] = value
        return value

    def computed(self, node: fx.Node) -> Any:  # noqa: ANN401
        """The function, or the kernel or layer, that a node calls."""
        if node.op != "call_module":
            return node.target if node.op == "call_function" else None
        layer = attribute(self.module, cast(str, node.target))
        return layer._modules.get(KERNEL, layer)

    def rows(self) -> int:
        """How many rows what is aggregated has in the example."""
        shapes, values = self.shapes, self.values
        for node in self._steps.nodes:
            computed = self.computed(node)
            if isinstance(computed, Convolution) and node.args and shapes.get(cast(fx.Node, node.args[0])):
                return shapes[cast(fx.Node, node.args[0])][0]
            operands = operands_of(node, computed)
            matrix = matrix_of(values.get(operands[0])) if operands else None
            if matrix is not None and matrix.shape[1] == matrix.shape[0] * getattr(computed, "tables", 1):
                return matrix.shape[0]
        raise SettingError("no step that is understood reads neighbours")


def erase_unused(graph: fx.Graph) -> None:
    """Erase lookups that nothing reads any more, some of which would be made of a graph just for that."""
    for node in reversed(graph.nodes):
        if looks_up(node) and not node.users:
            graph.erase_node(node)


def looks_up(node: fx.Node) -> bool:
    """Whether a step only finds something in something else."""
    return node.op == "call_function" and node.target in LOOKUPS


def operands_of(node: fx.Node, computed: Any) -> tuple[fx.Node, fx.Node] | None:  # noqa: ANN401
    """The operator and what is aggregated by it, where a step is their product."""
    if len(node.args) != 2 or node.kwargs or not all(isinstance(argument, fx.Node) for argument in node.args):
        return None
    first, second = cast(tuple[fx.Node, fx.Node], node.args)
    if isinstance(computed, Product | Chain):
        return second, first
    return (first, second) if computed in MATRIX_PRODUCTS else None


def numbers_of(module: nn.Module) -> int:
    """How many numbers a module has, each tensor once."""
    tensors = {
        id(value): value.numel()
        for inner in module.modules()
        for value in (*vars(inner).values(), *inner.parameters(recurse=False))
        if isinstance(value, Tensor)
    }
    return sum(tensors.values())
