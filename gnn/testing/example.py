"""An example call of a model, and the same call on other graphs: renumbered, apart, without edges."""

import copy
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from gnn.compression.layer_calls import all_tensors, first_float
from gnn.errors import SettingError

# What an argument is: a row for each node, the edges [2, edges], a row for each edge, the graph of each node, other
# pairs of nodes [2, pairs].
ROLES = ("nodes", "edges", "of edges", "graph of node", "pairs", "other")
NAMES = {
    "x": "nodes",
    "features": "nodes",
    "y": "other",
    "edge_index": "edges",
    "edge_weight": "of edges",
    "edge_attr": "of edges",
    "edge_type": "of edges",
    "batch": "graph of node",
    "graph_of_node": "graph of node",
    "edge_label_index": "pairs",
    "pairs": "pairs",
}
# Numbers that change with the graphs.
COUNTS = {"num_nodes": "nodes", "num_graphs": "graphs", "batch_size": "graphs"}
Arguments = tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class Example:
    """The values of one call by name, what each is, and how a model is given and asked them.

    `arguments` makes the positional arguments of the model's forward pass, `ask` gives the outputs.
    """

    values: Mapping[str, Any]
    roles: Mapping[str, str]
    arguments: Callable[[Any, "Example"], Arguments]
    ask: Callable[[Any, "Example"], object]

    def outputs(self, model: nn.Module) -> Tensor:
        """The first tensor of numbers in what the model gives."""
        found = first_float(list(all_tensors(self.ask(model, self))))
        if found is None:
            raise AssertionError(f"{type(model).__name__} gives no tensor of floating-point numbers")
        return found

    def of(self, role: str) -> list[Tensor]:
        """The values of one role."""
        return [value for name, value in self.values.items() if self.roles[name] == role]

    @property
    def edge_index(self) -> Tensor:
        """The edges, [2, edges]."""
        return self.of("edges")[0]

    @property
    def nodes(self) -> int:
        """How many nodes there are."""
        return len(self.of("nodes")[0])

    @property
    def graph_of_node(self) -> Tensor | None:
        """The number of every node's graph, [nodes], where the model is told."""
        return next(iter(self.of("graph of node")), None)

    @property
    def graphs(self) -> int:
        """How many graphs there are, as far as the model is told."""
        graph_of_node = self.graph_of_node
        return 1 if graph_of_node is None else int(graph_of_node.max()) + 1

    def mapped(self, **change: Callable[[Any], Any]) -> "Example":
        """The example with the values of each role (`of_edges` for "of edges") as a function makes them."""
        by_role = {role.replace("_", " "): function for role, function in change.items()}
        values = {
            name: by_role[self.roles[name]](value) if self.roles[name] in by_role else value
            for name, value in self.values.items()
        }
        changed = replace(self, values=values)
        counts = {name: getattr(changed, COUNTS[name]) for name in COUNTS if isinstance(values.get(name), int)}
        return replace(self, values={**values, **counts})

    def converted(self, function: Callable[[Tensor], Tensor]) -> "Example":
        """The example with all of its tensors as a function makes them."""
        return self.mapped(
            **{
                role.replace(" ", "_"): lambda value: function(value) if isinstance(value, Tensor) else value
                for role in ROLES
            }
        )

    def renumbered(self, order: Tensor) -> "Example":
        """The same graphs whose node i is the old node order[i]."""
        number = order.argsort()
        return self.mapped(
            nodes=lambda value: value[order],
            graph_of_node=lambda value: value[order],
            edges=lambda value: number[value],
            pairs=lambda value: number[value],
        )

    def with_edges(self, edges: Tensor) -> "Example":
        """Some edges, by their numbers or a mask."""
        return self.mapped(edges=lambda value: value[:, edges], of_edges=lambda value: value[edges])

    def without_edges(self) -> "Example":
        """The nodes alone."""
        return self.with_edges(torch.zeros_like(self.edge_index[0], dtype=torch.bool))

    def with_nodes(self, kept: Tensor) -> "Example":
        """The nodes where a mask is True, and the edges between them."""
        number = kept.cumsum(0) - 1

        def inside(pairs: Tensor) -> Tensor:
            return kept[pairs].all(dim=0)

        fewer = self.with_edges(inside(self.edge_index))
        return fewer.mapped(
            nodes=lambda value: value[kept],
            graph_of_node=lambda value: value[kept].unique(return_inverse=True)[1],
            edges=lambda value: number[value],
            pairs=lambda value: number[value[:, inside(value)]],
        )

    def with_isolated_nodes(self) -> "Example":
        """The graphs whose first two nodes have no edge, and one node more without any, at the end."""
        alone = self.with_edges((self.edge_index > 1).all(dim=0))
        return alone.mapped(
            nodes=lambda value: torch.cat([value, value[:1]]),
            graph_of_node=lambda value: torch.cat([value, value[-1:]]),
        )

    def of_one_node(self) -> "Example":
        """The first node alone."""
        return self.with_nodes(torch.arange(self.nodes, device=self.edge_index.device) == 0).without_edges()


def example_of(model: nn.Module, example: Any, roles: Mapping[str, str] | None = None) -> Example:  # noqa: ANN401
    """What the arguments of a forward pass are: by `roles`, else by name, else by type and shape.

    Args:
        model: Whose arguments they are.
        example: A tuple of arguments, a mapping by name, or the only one, which may be a `Data` or `Batch` of PyG.
        roles: One of `ROLES` for arguments by name.

    Raises:
        SettingError: A role is unknown or does not fit, or no argument is what nodes or edges are.
    """
    if hasattr(example, "edge_index") and hasattr(example, "to_dict"):
        return _of_data(example, dict(roles or {}))
    names = list(inspect.signature(model.forward).parameters.values())
    if isinstance(example, Mapping):
        missing = [name.name for name in names if name.name not in example and name.default is name.empty]
        unknown = [name for name in example if name not in {known.name for known in names}]
        if missing or unknown:
            raise SettingError(f"the example does not fit forward: {[*missing, *unknown][0]!r} is missing or too many")
        # As positional arguments, with the defaults of those in between.
        last = max(number for number, name in enumerate(names) if name.name in example)
        values = {name.name: example.get(name.name, name.default) for name in names[: last + 1]}
    else:
        given = example if isinstance(example, tuple) else (example,)
        named = [name.name for name in names if name.kind is name.POSITIONAL_OR_KEYWORD]
        named += [f"argument {number}" for number in range(len(named), len(given))]
        values = dict(zip(named, given, strict=False))
    return Example(
        values,
        _checked(values, _roles(values, dict(roles or {}))),
        arguments=lambda _, example: tuple(example.values.values()),
        ask=lambda model, example: model(*example.values.values()),
    )


def _of_data(data: Any, roles: dict[str, str]) -> Example:  # noqa: ANN401
    """An example whose only argument is a `Data` or `Batch`, told by the names of its attributes."""
    values = {name: value for name, value in data.to_dict().items() if name != "ptr"}
    return Example(
        values,
        _checked(values, _roles(values, roles)),
        arguments=lambda _, example: (_made_data(data, example),),
        ask=lambda model, example: model(_made_data(data, example)),
    )


def _made_data(data: Any, example: Example) -> Any:  # noqa: ANN401
    made = copy.copy(data)
    for name, value in example.values.items():
        made[name] = value
    if (graph_of_node := example.graph_of_node) is not None:
        made.ptr = torch.cat([graph_of_node.new_zeros(1), torch.bincount(graph_of_node).cumsum(0)])
        made._num_graphs = example.graphs
    return made


def _roles(values: Mapping[str, Any], roles: dict[str, str]) -> dict[str, str]:
    """What each value is, in the order in which names and shapes tell."""
    for name, role in roles.items():
        if name not in values or role not in ROLES:
            raise SettingError(
                f"the role {role!r} of {name!r} does not fit; arguments are: {', '.join(values)}; roles: "
                f"{', '.join(ROLES)}"
            )
    tensors = {name: value for name, value in values.items() if isinstance(value, Tensor)}
    found = {name: roles.get(name) or NAMES.get(name, "") for name in tensors}
    taken = set(found.values())
    for name, tensor in tensors.items():
        integral = tensor.dtype == torch.int64
        if found[name]:
            continue
        if integral and tensor.dim() == 2 and len(tensor) == 2:
            found[name] = "pairs" if "edges" in taken else "edges"
        elif not integral and "nodes" not in taken:
            found[name] = "nodes"
        taken.add(found[name])
    nodes = next((len(tensors[name]) for name, role in found.items() if role == "nodes" and tensors[name].dim()), -1)
    edges = next((tensors[name].shape[-1] for name, role in found.items() if role == "edges"), -1)
    for name, tensor in tensors.items():
        rows = len(tensor) if tensor.dim() else -2
        if not found[name] and nodes == edges == rows:
            raise SettingError(f"{name!r} may belong to nodes or to edges, of which there are {rows} each; give roles=")
        if not found[name]:
            graphs = tensor.dtype == torch.int64 and tensor.dim() == 1
            per_node = "graph of node" if graphs else "nodes"
            found[name] = per_node if rows == nodes else "of edges" if rows == edges else "other"
    return {name: found.get(name, "other") for name in values}


def _checked(values: Mapping[str, Any], roles: dict[str, str]) -> dict[str, str]:
    for role, what in (("nodes", "features [nodes, channels]"), ("edges", "an edge_index [2, edges]")):
        if role not in roles.values():
            told = ", ".join(f"{name}: {role}" for name, role in roles.items())
            raise SettingError(f"no argument is {what} ({told}); name it: roles={{argument: {role!r}}}")
    example = Example(values, roles, lambda _, __: (), lambda _, __: None)
    edges = example.edge_index
    if edges.numel() and not 0 <= int(edges.min()) <= int(edges.max()) < example.nodes:
        raise SettingError(f"the edges name node {int(edges.max())}, but there are {example.nodes} nodes; give roles=")
    graph_of_node = example.graph_of_node
    if graph_of_node is not None and not torch.equal(*graph_of_node[edges]):
        raise SettingError("an edge of the example joins two graphs; give edges that stay in their graph")
    return roles
