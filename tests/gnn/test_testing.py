"""Every check of models in gnn.testing fails for a model that is wrong in its way, and for no other."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from gnn.errors import SettingError
from gnn.testing import MODEL_CHECKS, check_model, report
from tests.gnn.small_nets import EDGES, NODES, Net, example, with_attribute

pytest_plugins = ["pytester"]


def by_position(messages: Tensor) -> Tensor:
    return messages * torch.linspace(0, 1, len(messages), device=messages.device, dtype=messages.dtype)[:, None]


def without_the_last(_: Net, out: Tensor, x: Tensor, edge_index: Tensor) -> Tensor:
    return out[: int(edge_index.max()) + 1 if edge_index.numel() else len(x)]


def mean_of_channels_without_edges(net: Net, out: Tensor, x: Tensor, edge_index: Tensor) -> Tensor:
    return out if edge_index.shape[1] else out + net.hidden(x, edge_index).mean(dim=1, keepdim=True)


def complex_buffer() -> Net:
    net = Net()
    net.register_buffer("phase", torch.zeros(2, dtype=torch.complex64))
    return net


# Names of the checks that fail, and a net in which they should; an `after` is given net, outputs, features and edges.
WRONG_MODELS: list[tuple[str, Net]] = [
    ("outputs-finite", Net(lambda net, out, _, edges: out if net.training else out / float(edges.shape[1] != EDGES))),
    ("deterministic", Net(lambda _net, out, *_: out * torch.rand_like(out[:1, :1], dtype=torch.float32))),
    ("evaluation-keeps-state", Net(lambda net, out, *_: out + 0 * net.passes.add_(1))),
    ("gradients", Net(nodes=Tensor.detach)),
    ("batch-of-one", Net(lambda _net, out, *_: out - out.mean(dim=0))),
    ("permutation-of-nodes", Net(lambda _net, out, *_: out + torch.arange(len(out), device=out.device)[:, None])),
    ("order-of-edges", Net(messages=by_position)),
    ("isolated-nodes", Net(without_the_last)),
    ("isolated-nodes", Net(lambda _net, out, _, edges: out + edges.shape[1])),
    ("no-edges one-node", Net(lambda _net, out, _, edges: out / edges.max().clamp(1, 1))),
    ("one-node", Net(lambda _net, out, *_: out.squeeze())),
    ("complete-state", with_attribute(Net(lambda net, out, *_: out * net.scale), scale=torch.tensor(2.0))),
    ("complete-state", with_attribute(Net(), unused=[nn.Parameter(torch.tensor(2.0))])),
    ("save-and-load", complex_buffer()),
    ("compiled", Net(lambda net, out, *_: out * (1 if net.leave.bias.requires_grad else 2))),
    ("narrowed", Net(mean_of_channels_without_edges)),
    ("quantized", Net(lambda net, out, *_: out * (1 if len(list(net.parameters())) == 4 else 2))),
    ("double-precision", Net(features=Tensor.float)),
    ("other-device", Net(lambda _net, out, x, _: out + torch.zeros(x.shape[0], 1))),
]


def arguments(name: str) -> tuple[Tensor, ...]:
    """An example of three graphs where it is told which node is whose."""
    return (*example(), torch.arange(NODES) // 4) if name == "batch-of-one" else example()


@pytest.mark.parametrize(("names", "net"), WRONG_MODELS)
def test_a_wrong_model_breaks_what_it_is_wrong_in_and_nothing_else(names: str, net: Net) -> None:
    assert " ".join(report(check_model(net, arguments(names))).failed) == names


def test_every_check_of_models_has_failed() -> None:
    assert {name for names, _ in WRONG_MODELS for name in names.split()} == set(MODEL_CHECKS)


@pytest.mark.parametrize(("given", "left"), [("nodes", "batch-of-one"), ("batch-of-one", "other-device")])
def test_a_right_model_breaks_nothing(given: str, left: str) -> None:
    found = report(check_model(Net(), arguments(given)))
    assert (found.failed, list(found.not_applicable)) == ({}, [left])
    assert str(found).endswith(f"\n{len(MODEL_CHECKS) - 1} run, 1 not applicable, 0 failed")


class OfData(Net):
    def forward(self, data: Any) -> Tensor:  # pyright: ignore  # noqa: ANN401
        return super().forward(data.x, data.edge_index, data.batch)


class Scored(Net):
    """Names that say nothing, a number for each edge, pairs to score, and how many nodes there are."""

    def forward(self, h: Tensor, e: Tensor, s: Tensor, p: Tensor, num_nodes: int = 0) -> Tensor:  # pyright: ignore
        hidden = torch.tanh(self.enter(h))
        sums = hidden.new_zeros(num_nodes, hidden.shape[1]).index_add(0, e[1], hidden[e[0]] * s[:, None])
        hidden = self.leave(sums)
        return (hidden[p[0]] * hidden[p[1]]).sum(dim=1)


class Several(Net):
    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor | None = None) -> Any:  # noqa: ANN401
        return {"labels": torch.zeros(len(x)), "logits": super().forward(x, edge_index, batch)}


def forms() -> dict[str, tuple[nn.Module, Any, dict[str, Any]]]:
    x, edge_index = example()
    graphs = [
        Data(x=x[4 * number : 4 * number + 4], edge_index=edge_index[:, edge_index[0] // 4 == number] % 4)
        for number in range(3)
    ]
    scored = {"h": x, "e": edge_index, "s": torch.rand(EDGES), "p": torch.arange(10).view(2, 5), "num_nodes": NODES}
    return {
        "Data": (OfData(), Data(x, edge_index, y=torch.zeros(NODES, dtype=torch.int64)), {}),
        "Batch": (OfData(), Batch.from_data_list(graphs), {}),  # pyright: ignore[reportArgumentType]
        "by shape": (Scored(), tuple(scored.values()), {}),
        "by name": (Scored(), scored, {}),
        "by role": (Scored(), scored, {"roles": {"s": "of edges", "p": "pairs"}}),
        "by call": (Several(), example(), {"call": lambda model, x, edge_index: model(x, edge_index)["logits"]}),
    }


@pytest.mark.parametrize("form", forms())
def test_an_example_may_come_in_any_form(form: str) -> None:
    model, of_model, how = forms()[form]
    found = report(check_model(model, of_model, **how))
    assert not found.failed, f"\n{found}"
    assert set(found.not_applicable) - {"other-device"} == (set() if form == "Batch" else {"batch-of-one"})


# As many nodes as edges.
TIED = (torch.ones(3, 4), torch.zeros(2, 3, dtype=torch.int64), torch.ones(3), torch.zeros(2, 1, dtype=torch.int64))


@pytest.mark.parametrize(
    ("arguments", "roles", "sentence"),
    [
        ((torch.ones(3, 2),), {}, "no argument is an edge_index [2, edges] (x: nodes); name it: roles={argument: "),
        (
            example(),
            {"edges": "edges"},
            "the role 'edges' of 'edges' does not fit; arguments are: x, edge_index; roles",
        ),
        (example(), {"x": "node"}, "the role 'node' of 'x' does not fit; arguments are: x, edge_index; roles: nodes, "),
        ((torch.ones(3, 2), torch.tensor([[0], [3]])), {}, "the edges name node 3, but there are 3 nodes; give roles="),
        ({"x": torch.ones(3, 2)}, {}, "the example does not fit forward: 'edge_index' is missing or too many"),
        ((*example(), torch.arange(NODES)), {}, "an edge of the example joins two graphs; give edges that stay in "),
        (TIED, {}, "'s' may belong to nodes or to edges, of which there are 3 each; give roles="),
    ],
)
def test_an_example_that_nobody_can_read_is_refused(arguments: Any, roles: dict[str, str], sentence: str) -> None:  # noqa: ANN401
    with pytest.raises(SettingError) as caught:
        check_model(Scored() if arguments is TIED else Net(), arguments, roles=roles)
    assert str(caught.value).startswith(sentence)


def test_checks_are_the_parameters_of_a_test_with_a_reason_where_they_do_not_apply(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        from gnn.testing import check_model
        from tests.gnn.small_nets import Net, example

        @pytest.mark.parametrize("check", check_model(Net(), example()))
        def test_net(check):
            check()

        @pytest.mark.parametrize(("name", "check"), check_model(Net(), example()))
        def test_pairs(name, check):
            check()
        """
    )
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-rs", "-v")
    result.assert_outcomes(passed=2 * (len(MODEL_CHECKS) - 1), skipped=2)
    result.stdout.fnmatch_lines(
        ["*::test_net[[]order-of-edges[]] PASSED*", "*the model is given one graph, or is not*"]
    )
