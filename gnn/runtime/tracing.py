"""A forward as a graph of calls, in which everything that has a kernel is one step."""

import inspect
import operator
import sys
from typing import Any, cast

from torch import fx, nn

from gnn.errors import SettingError
from gnn.layers.readout import max_readout, mean_matrix
from gnn.runtime.kernels import KERNEL, Kernel, aggregate, plus_own_row
from gnn.runtime.readouts import READOUTS

# The values of a call that a trace may depend on; of all others it depends on the type alone.
CONSTANTS = (type(None), bool, int, float, str)


class Tracer(fx.Tracer):
    """Layers with kernels and convolutions over edges stay whole, and so do the functions that depend on numbers."""

    def __init__(self) -> None:
        pools = getattr(sys.modules.get("torch_geometric.nn"), "__dict__", {})
        whole = [
            max_readout,
            mean_matrix,
            aggregate,
            plus_own_row,
            *(pools[name] for name in READOUTS if name in pools),
        ]
        super().__init__(autowrap_functions=tuple(whole))
        if pools:
            # Some call them by the module's name.
            self._autowrap_search.append(sys.modules["torch_geometric.nn"])

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a call of the module is one step of the trace."""
        kernel = m if isinstance(m, Kernel) else m._modules.get(KERNEL)
        if kernel is not None:
            return not getattr(kernel, "entered", False)
        return hasattr(m, "propagate") or super().is_leaf_module(m, module_qualified_name)


def trace(
    compiled: nn.Module, arguments: tuple[Any, ...], keywords: dict[str, Any], tracer: type[Tracer] = Tracer
) -> fx.GraphModule:
    """The trace of a module's forward for calls like this one.

    Raises `SettingError`, or what fails first, for a forward that cannot be traced.
    """
    # A module that is fused has another forward of its own, and what is traced is its type's.
    bound = inspect.signature(type(compiled).forward).bind(compiled, *arguments, **keywords)
    given = {name: value for name, value in bound.arguments.items() if not isinstance(value, CONSTANTS)}
    bound.apply_defaults()
    constants = {name: value for name, value in bound.arguments.items() if name not in given}
    graph = tracer().trace(compiled, constants)
    for node in reversed(graph.nodes):
        if node.users or node.op in ("placeholder", "output"):
            continue
        # Who calls has seen to it that constants are what they were.
        if "assert" not in str(node.target) and node.target not in (operator.eq, operator.getitem):
            raise SettingError(f"the result of {node.name} is not used, so that it may change something in place")
        graph.erase_node(node)
    traced = fx.GraphModule(compiled, graph)
    for node in graph.nodes:
        if node.op == "call_module" and node.kwargs:
            _say_by_place(node, traced.get_submodule(cast(str, node.target)))
    return traced


def _say_by_place(node: fx.Node, layer: nn.Module) -> None:
    """Have the call of a kernel say by place what it says by name, which is how peepholes read calls."""
    kernel: Any = layer._modules.get(KERNEL)
    if kernel is not None:
        bound = inspect.signature(kernel.forward).bind(*node.args, **node.kwargs)
        bound.apply_defaults()
        node.args, node.kwargs = bound.args, bound.kwargs
