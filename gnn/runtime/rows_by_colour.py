"""A trace rewritten so that its steps compute a row per colour of nodes."""

import inspect
import operator
from collections.abc import Hashable
from typing import Any, cast

import torch
from torch import Tensor, fx, nn

from gnn.errors import SettingError
from gnn.runtime.kernels import Kernel, Product, matrix_of
from gnn.runtime.prepared_rows import (
    GivenRows,
    HopOperator,
    Numbers,
    Operator,
    OperatorOut,
    ReadoutMatrix,
    Request,
    Source,
)
from gnn.runtime.pyg_layers import Convolution, Gcn
from gnn.runtime.readouts import Readout
from gnn.runtime.row_wise import changes_in_place, is_row_wise, row_wise_module
from gnn.runtime.steps import layers_of
from gnn.runtime.traced_example import Example, erase_unused, looks_up, numbers_of, operands_of

GIVEN, SHARED, WHOLE = "given", "shared", "whole"


class Over(Kernel):
    """A convolution or readout over what was prepared for it."""

    name = "over colours"

    def __init__(self, kernel: Convolution | Readout) -> None:
        super().__init__()
        self.kernel = kernel
        self.forward = kernel.over


class RowsByColour:
    """The rewriting: each value has the depth of its colours, or is given, shared by all rows, or as in the module.

    A step that is not understood gets all rows, so that it gives what it would. After it `graph` is the rewritten trace
    with `prepared` as first argument, `requests` say what that holds, `lookups` gives the values these refer to, those
    at the places `entering` make the colours of depth 0, and `hops` has the operators of each depth. `costs` is what a
    row of each depth costs, `whole` what one of all others does, in multiplications; `layers` has the depth of each.

    Raises `SettingError` where there is nothing that could be done once.
    """

    def __init__(self, module: fx.GraphModule, graph: fx.Graph, arguments: tuple[Any, ...]) -> None:
        self.module, self._old, self.graph = module, graph, fx.Graph()
        self._example = Example(module, graph)
        with torch.no_grad():
            self._example.run(*arguments)
        self.rows = self._example.rows()
        self.requests: list[Request] = []
        self.hops: list[list[Source]] = []
        self.entering: list[int] = []
        self.costs: list[float] = []
        self.whole, self.layers = 0.0, dict[str, int]()
        self._given: list[fx.Node] = []
        self._kind: dict[fx.Node, int | str] = {}
        self._new: dict[fx.Node, fx.Node] = {}
        self._asked: dict[Hashable, fx.Node] = {}
        self._prepared = self.graph.placeholder("_prepared_rows")
        for node in graph.nodes:
            self._kind[node] = self._step(node)
        if not self.hops:
            raise SettingError("no step that is understood reads neighbours")
        erase_unused(self.graph)
        self.lookups = self._lookups()

    def _step(self, node: fx.Node) -> int | str:
        computed = self._example.computed(node)
        if node.op in ("placeholder", "get_attr"):
            self._new[node] = self.graph.node_copy(node)
            return GIVEN if node.op == "placeholder" else SHARED
        looked_up = looks_up(node) and all(self._kind[read] == GIVEN for read in node.all_input_nodes)
        # A part of a tensor would be another one in every call.
        if looked_up and not isinstance(self._example.values[cast(fx.Node, node.args[0])], Tensor):
            self._new[node] = self.graph.node_copy(node, self._new.__getitem__)
            return GIVEN
        if node.op != "output":
            self._refuse_change(node, computed)
            for rule in (self._convolution, self._product, self._readout, self._row_wise):
                kind = rule(node, computed)
                if kind is not None:
                    self._count(node, computed, kind)
                    return kind
        self._new[node] = self.graph.node_copy(node, self._all_rows)
        self._count(node, computed, WHOLE)
        return WHOLE

    def _convolution(self, node: fx.Node, computed: Any) -> int | None:  # noqa: ANN401
        cached = isinstance(computed, Gcn) and computed.cached
        inner = getattr(computed, "nn", None)
        mixes = inner is not None and not row_wise_module(inner)
        if not isinstance(computed, Convolution) or cached or mixes:
            return None
        call = inspect.signature(computed.forward).bind(*node.args, **node.kwargs).arguments
        x, edges, weight = call.pop("x", None), call.pop("edge_index", None), call.pop("edge_weight", None)
        given = [part for part in (edges, weight) if part is not None]
        known = given and all(isinstance(part, fx.Node) and self._kind[part] == GIVEN for part in given)
        if not known or self._depth(x) is None or any(value is not None for value in call.values()):
            return None
        values = [None if part is None else self._example.values[part] for part in (edges, weight)]
        probe, depth = torch.empty(0, 0, dtype=self._example.dtypes[x]), cast(int, self._depth(x))
        if not computed.knows(probe, probe, *values):
            return None
        weighs = isinstance(weight, fx.Node) and self._example.values[weight] is not None
        source = Source(self._place(edges), 1, computed, self._place(weight) if weighs else None)
        hops = []
        for hop in range(computed.hops):
            self._hop(depth + hop, source)
            hops.append(self._ask(HopOperator(source, depth + hop)))
        self._new[node] = self._call(Over(computed), self._at(x, depth), *hops)
        return depth + computed.hops

    def _product(self, node: fx.Node, computed: Any) -> int | str | None:  # noqa: ANN401
        operands = operands_of(node, computed)
        if not operands or self._kind[operands[0]] != GIVEN or (depth := self._depth(operands[1])) is None:
            return None
        matrix, tables = matrix_of(self._example.values[operands[0]]), getattr(computed, "tables", 1)
        if matrix is None or matrix.shape[1] != self.rows * tables:
            return None
        source = Source(self._place(operands[0]), tables)
        square = matrix.shape[0] == self.rows
        if square:
            self._hop(depth, source)
        request = self._ask(Operator(source, depth) if square else OperatorOut(source, depth))
        put = {operands[0]: request, operands[1]: self._at(operands[1], depth)}
        self._new[node] = self.graph.node_copy(node, put.__getitem__)
        return depth + 1 if square else WHOLE

    def _readout(self, node: fx.Node, computed: Any) -> str | None:  # noqa: ANN401
        if not isinstance(computed, Readout) or node.kwargs:
            return None
        x, index, *sizes = node.args
        size = sizes[0] if sizes else None
        if (depth := self._depth(x)) is None or not self._is_index(index):
            return None
        given = isinstance(size, fx.Node)
        if given and self._kind[cast(fx.Node, size)] != GIVEN:
            return None
        number, place = (None, self._place(cast(fx.Node, size))) if given else (cast(int | None, size), None)
        request = ReadoutMatrix(computed, self._place(cast(fx.Node, index)), depth, number, place)
        self._new[node] = self._call(Over(computed), self._at(cast(fx.Node, x), depth), self._ask(request))
        return WHOLE

    def _is_index(self, node: Any) -> bool:  # noqa: ANN401
        value = self._example.values.get(node) if self._kind.get(node) == GIVEN else None
        return isinstance(value, Tensor) and value.shape == (self.rows,) and value.dtype is torch.int64

    def _row_wise(self, node: fx.Node, computed: Any) -> int | None:  # noqa: ANN401
        if not is_row_wise(node, computed):
            return None
        depths = [self._depth(read) for read in node.all_input_nodes if not self._is_shared(read)]
        if not depths or None in depths:
            return None
        depth = max(cast(list[int], depths))
        self._new[node] = self.graph.node_copy(
            node, lambda read: self._new[read] if self._is_shared(read) else self._at(read, depth)
        )
        return depth

    def _is_shared(self, node: fx.Node) -> bool:
        """Whether all rows read the same of a value: a number, or a vector or matrix of one row of the module's."""
        if self._kind[node] == GIVEN and isinstance(self._example.values[node], int | float | None):
            # Its type is held against that of the example.
            self._place(node)
            return True
        shape = self._example.shapes[node]
        return self._kind[node] == SHARED and (len(shape) < 2 or (len(shape) == 2 and shape[0] == 1))

    def _depth(self, node: Any) -> int | None:  # noqa: ANN401
        """The depth of a value's colours, None where it has no rows by colours."""
        kind = self._kind.get(node) if isinstance(node, fx.Node) else None
        if kind != GIVEN:
            return kind if isinstance(kind, int) else None
        value = self._example.values[node]
        return 0 if type(value) is Tensor and value.dim() == 2 and len(value) == self.rows else None

    def _at(self, node: fx.Node, depth: int) -> fx.Node:
        """The value with a row per colour of this depth."""
        kind = self._kind[node]
        if kind == GIVEN:
            place = self._place(node)
            self.entering += [place] * (place not in self.entering)
            return self._ask(GivenRows(place, depth))
        if kind == depth:
            return self._new[node]
        numbers = self._ask(Numbers(cast(int, kind), depth))
        return self.graph.call_function(torch.index_select, (self._new[node], 0, numbers))

    def _all_rows(self, node: fx.Node) -> fx.Node:
        """The value as it is in the module."""
        kind = self._kind[node]
        if not isinstance(kind, int):
            return self._new[node]
        return self.graph.call_function(torch.index_select, (self._new[node], 0, self._ask(Numbers(kind))))

    def _hop(self, depth: int, source: Source) -> None:
        self.hops += [[]] * (depth + 1 - len(self.hops))
        if source not in self.hops[depth]:
            self.hops[depth] = [*self.hops[depth], source]

    def _place(self, node: fx.Node) -> int:
        if node not in self._given:
            self._given.append(node)
        return self._given.index(node)

    def _ask(self, request: Request) -> fx.Node:
        if request not in self._asked:
            self._asked[request] = self.graph.call_function(operator.getitem, (self._prepared, len(self.requests)))
            self.requests.append(request)
        return self._asked[request]

    def _call(self, kernel: nn.Module, *arguments: fx.Node) -> fx.Node:
        name = f"by_colour_{len(self.module._modules)}"
        self.module.add_submodule(name, kernel)
        return self.graph.call_module(name, arguments)

    def _refuse_change(self, node: fx.Node, computed: Any) -> None:  # noqa: ANN401
        if not changes_in_place(node, computed) or not node.args:
            return
        changed = node.kwargs.get("out", node.args[0])
        made = isinstance(changed, fx.Node) and isinstance(self._example.computed(changed), Kernel)
        if not made or len(cast(fx.Node, changed).users) > 1:
            raise SettingError(f"{node.name} changes in place what others may read")

    def _count(self, node: fx.Node, computed: Any, kind: int | str) -> None:  # noqa: ANN401
        """Add what a row of this step costs to the costs of the rows that it is computed for."""
        shape = self._example.shapes[node]
        if isinstance(kind, str) and shape[:1] != (self.rows,):
            return
        cost = sum(shape[1:]) + (numbers_of(computed) if isinstance(computed, nn.Module) else 0)
        if isinstance(kind, str):
            self.whole += cost
            return
        self.costs += [0.0] * (kind + 1 - len(self.costs))
        self.costs[kind] += sum(shape[1:])
        # A product is of the rows that are read, where they are fewer.
        self.costs[kind - isinstance(computed, Product)] += cost - sum(shape[1:])
        self.layers |= dict.fromkeys(layers_of(node), kind)

    def given_in_example(self) -> list[Any]:
        """The values that `lookups` gives, of the example."""
        return [self._example.values[node] for node in self._given]

    def _lookups(self) -> fx.Graph:
        graph = fx.Graph()
        new: dict[fx.Node, fx.Node] = {}
        for node in self._old.nodes:
            if node.op == "placeholder" or self._kind[node] == GIVEN:
                new[node] = graph.node_copy(node, new.__getitem__)
        graph.output(tuple(new[node] for node in self._given))
        erase_unused(graph)
        return graph
