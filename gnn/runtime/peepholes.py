"""What goes beyond one layer: rewritings of a traced forward that apply wherever their pattern stands."""

import inspect
import operator
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
from torch import fx, nn
from torch.nn import functional

from gnn.native import NOTHING, Activation
from gnn.native.row_steps import NotFiniteError
from gnn.runtime.chain import Chain
from gnn.runtime.deduplication import Deduplication, deduplicated
from gnn.runtime.kernels import KERNEL, Affine, Kernel, Product, ScaleShift, Transform, aggregate
from gnn.runtime.readouts import READOUTS, MaximumFirst, Readout
from gnn.runtime.row_peepholes import RowPeepholes
from gnn.runtime.steps import Steps, layers_of
from gnn.runtime.tracing import CONSTANTS, trace

# Where a compiled module has its fused trace.
FUSED = "_fused"
AGGREGATING = (operator.matmul, aggregate, torch.matmul)
ACTIVATIONS: dict[Any, str] = {torch.relu: "relu", functional.relu: "relu", functional.elu: "elu"}


def fuse(
    compiled: nn.Module,
    arguments: tuple[Any, ...],
    keywords: dict[str, Any],
    agree: Callable[[Any, Any], bool],
    deduplicate: bool | None,
) -> str:
    """Have calls like this one run as a fused trace of the module's forward; what was fused, or why nothing was.

    Calls with other types of arguments, or with other numbers, run the module's own forward. `agree` says whether what
    the module and the fused form give is the same; `deduplicate` is as in `gnn.runtime.compile`.
    """
    if KERNEL in compiled._modules:
        return "nothing to fuse, it is one kernel"
    own = compiled.forward
    try:
        traced = trace(compiled, arguments, keywords)
    # Whatever a forward does that cannot be traced, from control flow to a type error of a proxy.
    except Exception as error:
        return f"not fused, since its forward cannot be traced ({type(error).__name__}: {_first_line(error)})"
    done = _Rewriting(traced).all()
    expected = own(*arguments, **keywords)
    agrees = partial(agree, expected)
    deduplication, said = None, ""
    if deduplicate is not False:
        call = inspect.signature(own).bind(*arguments, **keywords)
        deduplication, said = deduplicated(traced, call, agrees, always=deduplicate is True)
    if not done and deduplication is None:
        return f"nothing to fuse{said}"
    fused = _Fused(traced, own, arguments, keywords, deduplication)
    if not agrees(fused._steps.run(*arguments, **keywords)):
        return "not fused, since the fused form gave something else than the module's own forward"
    compiled.add_module(FUSED, fused)
    vars(compiled)["forward"] = fused.forward
    steps = ", ".join(f"{what} ({times}x)" for what, times in done.items())
    return (f"fused: {steps}" if done else "nothing to fuse") + said


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


class _Fused(Kernel):
    """A traced forward for calls like the one it was traced for, and the module's own for all others."""

    name = "a fused trace"

    def __init__(
        self,
        traced: fx.GraphModule,
        own: Callable[..., Any],
        arguments: tuple[Any, ...],
        keywords: dict[str, Any],
        deduplication: Deduplication | None,
    ) -> None:
        super().__init__()
        self._own, self._steps, self.deduplication = own, Steps(traced, traced.graph), deduplication
        self._alike = (tuple(map(_kind, arguments)), {name: _kind(value) for name, value in keywords.items()})

    @property
    def steps(self) -> nn.ModuleList:
        """The layers and kernels that it calls."""
        return self._steps.steps

    def forward(self, *arguments: Any, **keywords: Any) -> Any:  # noqa: ANN401
        """Run what fits the call."""
        named = {name: _kind(value) for name, value in keywords.items()} if keywords else keywords
        if (tuple([_kind(value) for value in arguments]), named) != self._alike:
            return self._own(*arguments, **keywords)
        try:
            prepared = self.deduplication and self.deduplication.prepared(*arguments, **keywords)
            if self.deduplication is not None and prepared is not None:
                return self.deduplication.run(prepared, *arguments, **keywords)
            return self._steps.run(*arguments, **keywords)
        # Layer by layer, what is not finite may be clamped or stay as it is, where no product reads it.
        except NotFiniteError:
            return self._own(*arguments, **keywords)


def _kind(value: object) -> object:
    return (type(value), value) if isinstance(value, CONSTANTS) else type(value)


class _Rewriting(RowPeepholes):
    """The peepholes, one method each; a method says whether it changed what is at a node."""

    def __init__(self, traced: fx.GraphModule) -> None:
        self.module, self.graph = traced, traced.graph

    def all(self) -> dict[str, int]:
        """Apply every peephole at every node, in an order in which one makes room for the next."""
        done: Counter[str] = Counter()
        for what, peephole in {
            "": self._nothing_to_do,
            "sum and product in one": self._product_of_sum,
            "normalisation in its product": self._normalised,
            "normalisation in the next product": self._normalisation,
            "maximum before bias and activation": self._maximum,
            "readout by a matrix": self._readout,
            "activation in its product": self._activated,
            "function of numbers": self._function,
            "products in one": self._chain,
            "whole numbers in one": self._rows_in_one,
            "maximum of whole numbers": self._maximum_of_rows,
        }.items():
            done[what] += sum(peephole(node) for node in list(self.graph.nodes))
            self.graph.eliminate_dead_code()
        # A reader is made anew, and goes on to hand on what it gives to its own readers.
        done["bytes between whole numbers"] = sum(map(self._bytes_between, reversed(list(self.graph.nodes))))
        return {what: times for what, times in done.items() if what and times}

    def _nothing_to_do(self, node: fx.Node) -> bool:
        computed = self._computed(node)
        trains = dict(zip(("input", "p", "training"), node.args, strict=False)) | dict(node.kwargs)
        idle = computed is functional.dropout and trains.get("training", True) is False
        if not (idle or isinstance(computed, nn.Dropout | nn.Identity)) or not node.args:
            return False
        node.replace_all_uses_with(cast(fx.Node, node.args[0]))
        self.graph.erase_node(node)
        return True

    def _product_of_sum(self, node: fx.Node) -> bool:
        """(A x) W + b as one kernel, which may take A (x W) + b instead."""
        kernel, total = self._computed(node), self._only_read_by(node)
        if not isinstance(kernel, Affine) or kernel.reads_bfloat16 or total is None:
            return False
        if self._computed(total) not in AGGREGATING:
            return False
        matrix, features = total.args
        self._replace(node, Product(kernel.weight, kernel.bias), features, matrix)
        return True

    def _normalised(self, node: fx.Node) -> bool:
        """A scale and a shift of what a product gives are in its weight and its bias."""
        norm, product = self._computed(node), self._only_read_by(node)
        kernel = self._computed(product) if product is not None else None
        if not isinstance(norm, ScaleShift) or product is None or type(kernel) not in (Affine, Product):
            return False
        whole: Any = kernel
        if whole.reads_bfloat16 or whole.activation != NOTHING:
            return False
        if getattr(whole, "shift", None) is not None or getattr(whole, "tables", 1) > 1:
            return False
        bias = norm.shift if whole.bias is None else whole.bias * norm.scale + norm.shift
        self._replace(node, type(whole)(whole.weight * norm.scale, bias), *product.args)
        self.graph.erase_node(product)
        return True

    def _normalisation(self, node: fx.Node) -> bool:
        """A scale and a shift of each channel are in the product that reads them."""
        kernel, before = self._computed(node), self._only_read_by(node)
        norm = self._computed(before) if before is not None else None
        plain = type(kernel) is Affine or (type(kernel) is Product and kernel.shift is None)
        if before is None or not isinstance(norm, ScaleShift) or not plain or kernel.reads_bfloat16:
            return False
        folded = cast(Affine | Product, kernel).after(norm.scale, norm.shift)
        self._replace(node, folded, before.args[0], *node.args[1:])
        return True

    def _maximum(self, node: fx.Node) -> bool:
        """The maximum over nodes comes before bias and activation, of as many rows as there are graphs then."""
        readout, activated = self._computed(node), self._only_read_by(node)
        activation = self._activation(activated) if activated is not None else None
        product = self._only_read_by(activated) if activated is not None else None
        if READOUTS.get(getattr(readout, "__name__", "")) != "max" or activation is None or product is None:
            return False
        if node.kwargs or len(node.args) < 2 or not isinstance(node.args[1], fx.Node):
            return False
        kernel: Any = self._computed(product)
        if type(kernel) not in (Affine, Product) or kernel.bias is None or getattr(kernel, "shift", None) is not None:
            return False
        features = self._insert(node, kernel.without_bias(), *product.args)
        features.meta["layers"] = layers_of(product)
        self._replace(node, MaximumFirst(cast(Any, readout), kernel.bias, activation), features, *node.args[1:])
        return True

    def _readout(self, node: fx.Node) -> bool:
        """A readout by a matrix, which is made once for an assignment of nodes to graphs."""
        readout = self._computed(node)
        if getattr(readout, "__name__", "") not in READOUTS or set(node.kwargs) - {"size"} or len(node.args) < 2:
            return False
        self._replace(node, Readout(readout), *node.args, *node.kwargs.values())
        return True

    def _activated(self, node: fx.Node) -> bool:
        """An activation is done by the kernel that gives what it is of, before that is written."""
        activation, product = self._activation(node), self._only_read_by(node)
        kernel = self._computed(product) if product is not None else None
        if product is None or activation is None or not isinstance(kernel, Kernel):
            return False
        if (activated := kernel.activated(activation)) is None:
            return False
        self._replace(node, activated, *product.args)
        self.graph.erase_node(product)
        return True

    def _chain(self, node: fx.Node) -> bool:
        """Products whose rows nobody else reads, one after the other for some rows at a time."""
        kernel, product = self._computed(node), self._only_read_by(node)
        before = self._computed(product) if product is not None else None
        if type(kernel) is not Affine or kernel.reads_bfloat16 or product is None:
            return False
        if isinstance(before, Chain):
            parts = before.products
        elif type(before) is Affine or (type(before) is Product and before.aggregates_first):
            parts = [before]
        else:
            return False
        self._replace(node, Chain([*parts, kernel]), *product.args)
        self.graph.erase_node(product)
        return True

    def _function(self, node: fx.Node) -> bool:
        """A function of single numbers that nothing before it could take."""
        function = Activation("asinh") if self._computed(node) is torch.asinh else self._activation(node)
        # PyTorch's own ReLU is as fast.
        if function is None or function.name == "relu" or len(node.all_input_nodes) != 1:
            return False
        self._replace(node, Transform(function), node.args[0])
        return True

    def _computed(self, node: fx.Node) -> Any:  # noqa: ANN401
        """The function, or the kernel or layer, that a node calls."""
        if node.op != "call_module":
            return node.target if node.op == "call_function" else None
        if node.kwargs:
            return None
        layer = self.module.get_submodule(cast(str, node.target))
        return layer._modules.get(KERNEL, layer)

    def _activation(self, node: fx.Node) -> Activation | None:
        """A node's ReLU or ELU, None where it is neither."""
        computed = self._computed(node)
        if isinstance(computed, nn.ELU):
            return Activation("elu", computed.alpha) if computed.alpha > 0 else None
        if isinstance(computed, nn.ReLU) or (node.op == "call_method" and node.target == "relu"):
            return Activation("relu")
        if computed not in ACTIVATIONS or len(node.args) != 1:
            return None
        alpha = node.kwargs.get("alpha", 1.0)
        if not isinstance(alpha, float | int) or alpha <= 0:
            return None
        return Activation(ACTIVATIONS[computed], alpha)

    def _only_read_by(self, node: fx.Node) -> fx.Node | None:
        """What makes a node's first argument, where nobody else reads that."""
        before = node.args[0] if node.args else None
        if self._computed(node) in AGGREGATING and len(node.args) == 2:
            before = node.args[1]
        return before if isinstance(before, fx.Node) and len(before.users) == 1 else None

    def _insert(self, before: fx.Node, kernel: nn.Module, *arguments: Any) -> fx.Node:  # noqa: ANN401
        name = f"fused_{len(self.module._modules)}"
        self.module.add_submodule(name, kernel)
        with self.graph.inserting_before(before):
            return self.graph.call_module(name, arguments)

    def _replace(self, node: fx.Node, kernel: nn.Module, *arguments: Any) -> None:  # noqa: ANN401
        made = self._insert(node, kernel, *arguments)
        # What was read by this step alone is in it now.
        before = self._only_read_by(node)
        made.meta["layers"] = layers_of(node) + (() if before is None else layers_of(before))
        node.replace_all_uses_with(made)
        self.graph.erase_node(node)
