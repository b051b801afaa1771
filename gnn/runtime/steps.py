"""A traced graph as a function."""

from typing import Any

from torch import fx, nn

from gnn.runtime.kernels import Kernel


class Steps(Kernel):
    """Runs a trace; its steps are called without the detour of nn.Module's own call, since none of them has hooks."""

    name = "the steps of a trace"

    def __init__(self, module: nn.Module, graph: fx.Graph) -> None:
        super().__init__()
        self.steps = nn.ModuleList()
        for number, node in enumerate(graph.nodes):
            if node.op in ("call_module", "get_attr"):
                step = attribute(module, node.target)
                node.target = f"step_{number}"
                if isinstance(step, nn.Module):
                    self.steps.append(step)
                vars(self)[node.target] = step.forward if isinstance(step, nn.Module) else step
        code = graph.python_code("self")
        functions = dict(code.globals)
        exec(code.src, functions)  # noqa: S102  (what torch.fx writes of the trace)
        self._run = functions["forward"]

    def run(self, *arguments: Any, **keywords: Any) -> Any:  # noqa: ANN401
        """Run all steps."""
        return self._run(self, *arguments, **keywords)


def attribute(module: nn.Module, path: str) -> Any:  # noqa: ANN401
    """What a module has at a path with dots."""
    for name in path.split("."):
        module = getattr(module, name)
    return module


def layers_of(node: fx.Node) -> tuple[str, ...]:
    """The paths of the layers that a step computes."""
    stack = node.meta.get("nn_module_stack")
    own = (next(reversed(stack.values()))[0],) if stack and node.op == "call_module" else ()
    return node.meta.get("layers", own)
