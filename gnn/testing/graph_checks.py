"""What a model owes to graphs, whatever it computes."""

import copy
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from unittest import SkipTest

import torch
from torch import Tensor, nn

from gnn.testing.checks import require, require_close, require_equal
from gnn.testing.example import Arguments, Example

MANY_GRAPHS = 16


@dataclass(frozen=True, eq=False)
class Subject:
    """A model and an example of its calls; every check has copies of its own."""

    model: nn.Module
    example: Example

    def fresh(self, *, training: bool = False) -> nn.Module:
        """A copy of the model for a check of its own, in evaluation mode unless it is to be trained."""
        return copy.deepcopy(self.model).train(training)

    @cached_property
    def shared(self) -> nn.Module:
        """A copy in evaluation mode for all checks that only ask it."""
        return self.fresh()

    def arguments(self, model: nn.Module) -> Arguments:
        """The arguments of the forward pass as the example has them."""
        return self.example.arguments(model, self.example)

    @torch.no_grad()
    def outputs(self, model: nn.Module | None = None, example: Example | None = None, seed: int = 0) -> Tensor:
        """What a model, by default the shared copy, gives for the example or another one."""
        set_seed(seed)
        return (example or self.example).outputs(model or self.shared)

    @cached_property
    def expected(self) -> Tensor:
        """What the model gives for the example."""
        return self.outputs()

    @cached_property
    def rows(self) -> str:
        """What the rows of the outputs stand for: nodes, graphs, edges or pairs."""
        rows, example = len(self.expected), self.example
        counts = {"nodes": example.nodes, "graphs": example.graphs, "edges": example.edge_index.shape[1]}
        found = next((what for what, count in counts.items() if count == rows), "pairs" if example.of("pairs") else "")
        if not found:
            raise SkipTest(f"outputs have {rows} rows, of which nobody knows what they stand for")
        return found

    def odd_examples(self) -> Iterator[tuple[str, Example]]:
        """The example with isolated nodes, without edges, and its first node alone."""
        yield "with isolated nodes", self.example.with_isolated_nodes()
        yield "without edges", self.example.without_edges()
        yield "of one node", self.example.of_one_node()


def outputs_finite(subject: Subject) -> None:
    """All outputs are numbers."""
    require(subject.expected.isfinite().all(), "outputs are not all finite")


def deterministic_outputs(subject: Subject) -> None:
    """Evaluation draws no random numbers, and training gives the same for the same seed, gradients included."""
    first, second = (subject.outputs(seed=seed) for seed in (0, 1))
    require_equal(second, first, "outputs in evaluation mode depend on the seed")
    steps = [_gradients(subject, subject.example) for _ in range(2)]
    require_equal(steps[1][0], steps[0][0], "outputs in training mode are not the same for the same seed")
    for name, gradient in steps[0][1].items():
        again = steps[1][1][name]
        require((again is None) == (gradient is None), f"the gradient of {name!r} is there in one of two passes only")
        if gradient is not None and again is not None:
            require_equal(again, gradient, f"the gradient of {name!r} is not the same for the same seed")


def evaluation_keeps_state(subject: Subject) -> None:
    """A pass in evaluation mode changes no parameter and no buffer."""
    model = subject.fresh()
    before = {name: tensor.clone() for name, tensor in _tensors(model)}
    subject.outputs(model)
    for name, tensor in _tensors(model):
        require(name in before, f"a pass in evaluation mode made {name!r}")
        require_equal(tensor, before[name], f"a pass in evaluation mode changed {name!r}")


def gradients(subject: Subject) -> None:
    """A gradient reaches every parameter that takes one, and is finite on odd graphs as well."""
    for name, gradient in _gradients(subject, subject.example)[1].items():
        reached = gradient is not None and bool(gradient.any())
        require(reached, f"no gradient reaches {name!r}; use it, or set requires_grad to False")
    # A single node is too few for batch normalisation.
    for what, example in [("", subject.example), *subject.odd_examples()][:3]:
        with suppress(ValueError, RuntimeError, IndexError):  # Other checks tell what does not run.
            for name, gradient in _gradients(subject, example)[1].items():
                finite = gradient is None or bool(gradient.isfinite().all())
                require(finite, f"the gradient of {name!r} is not finite {what}".rstrip())


def batch_of_one(subject: Subject) -> None:
    """A graph alone gives what it gives among others."""
    example, rows = subject.example, subject.rows
    graph_of_node = example.graph_of_node
    if graph_of_node is None or example.graphs < 2 or rows not in ("nodes", "graphs"):
        raise SkipTest("the model is given one graph, or is not told which node is whose")
    together = subject.expected
    for graph in graph_of_node.unique().tolist()[:MANY_GRAPHS]:
        alone = subject.outputs(example=example.with_nodes(graph_of_node == graph))
        expected = together[graph_of_node == graph] if rows == "nodes" else together[graph : graph + 1]
        require_close(alone, expected, f"graph {graph} alone gives something else than among others")


def permutation_of_nodes(subject: Subject) -> None:
    """Renumbering the nodes of a graph moves the outputs of nodes with them, and leaves all others."""
    example = subject.example
    graph_of_node = example.graph_of_node
    graphs = torch.zeros_like(example.edge_index[0, :1]) if graph_of_node is None else graph_of_node.unique()
    order = torch.arange(example.nodes, device=example.edge_index.device)
    for graph in graphs.tolist():
        own = order[torch.ones_like(order, dtype=torch.bool) if graph_of_node is None else graph_of_node == graph]
        order[own] = own[_shuffled(len(own)).to(own.device)]
    expected = subject.expected[order] if subject.rows == "nodes" else subject.expected
    require_close(
        subject.outputs(example=example.renumbered(order)), expected, "outputs depend on the numbers of the nodes"
    )


def order_of_edges(subject: Subject) -> None:
    """The order of edges says nothing; outputs of edges move with them."""
    order = _shuffled(subject.example.edge_index.shape[1]).to(subject.example.edge_index.device)
    expected = subject.expected[order] if subject.rows == "edges" else subject.expected
    require_close(
        subject.outputs(example=subject.example.with_edges(order)), expected, "outputs depend on the order of edges"
    )


def isolated_nodes(subject: Subject) -> None:
    """Nodes without edges have finite outputs, on which the edges of others have no influence."""
    isolated = subject.example.with_isolated_nodes()
    _require_rows(subject, isolated, "with isolated nodes")
    if subject.rows != "nodes":
        return
    expected = subject.outputs(example=isolated)[:2]
    others = isolated.mapped(nodes=lambda value: torch.cat([value[:2], value[2:].flip(0)]))
    # Through a norm over all nodes, say, each of them depends on the others in any case.
    if torch.equal(subject.outputs(example=others)[:2], expected):
        fewer = isolated.with_edges(
            torch.arange(isolated.edge_index.shape[1], device=isolated.edge_index.device) % 2 == 0
        )
        found = subject.outputs(example=fewer)[:2]
        require_close(found, expected, "nodes without edges depend on the edges of others")


def no_edges(subject: Subject) -> None:
    """Graphs without any edge have finite outputs."""
    _require_rows(subject, subject.example.without_edges(), "without edges")


def one_node(subject: Subject) -> None:
    """A graph of one node without edges has finite outputs."""
    _require_rows(subject, subject.example.of_one_node(), "of a graph of one node")


def _require_rows(subject: Subject, example: Example, what: str) -> None:
    """Whether outputs for an odd example have the rows they should, all of them finite."""
    counts = {"nodes": example.nodes, "graphs": example.graphs, "edges": example.edge_index.shape[1]}
    found, expected = subject.outputs(example=example), counts.get(subject.rows)
    if expected is not None:
        require(len(found) == expected, f"outputs {what} have {len(found)} rows for {expected} {subject.rows}")
    require(found.isfinite().all(), f"outputs {what} are not all finite")


def _gradients(subject: Subject, example: Example) -> tuple[Tensor, dict[str, Tensor | None]]:
    """Outputs of a pass in training mode, and the gradient of a random sum of them."""
    model = subject.fresh(training=True)
    model.zero_grad()
    set_seed(0)
    outputs = example.outputs(model)
    if outputs.requires_grad:
        (outputs * torch.rand_like(outputs)).sum().backward()
    return outputs.detach(), {
        name: parameter.grad for name, parameter in model.named_parameters() if parameter.requires_grad
    }


def set_seed(seed: int) -> None:
    """Seed the random numbers of models; `torch.manual_seed` looks for devices, which takes longer than a pass."""
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)


def _shuffled(count: int) -> Tensor:
    return torch.randperm(count, generator=torch.Generator().manual_seed(1))


def _tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters()
    yield from model.named_buffers()


GRAPH_CHECKS = {
    "outputs-finite": outputs_finite,
    "deterministic": deterministic_outputs,
    "evaluation-keeps-state": evaluation_keeps_state,
    "gradients": gradients,
    "batch-of-one": batch_of_one,
    "permutation-of-nodes": permutation_of_nodes,
    "order-of-edges": order_of_edges,
    "isolated-nodes": isolated_nodes,
    "no-edges": no_edges,
    "one-node": one_node,
}
