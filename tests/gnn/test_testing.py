"""Every check of models in gnn.testing fails for a model that is wrong in its way, and for no other."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from gnn.errors import SettingError
from gnn.testing import MODEL_CHECKS, check_model, report
from tests.gnn.small_nets import EDGES, NODES, Net, Pooled, example

pytest_plugins = ["pytester"]

class Centred(Pooled):
    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        out = super().forward(x, edge_index, batch)
        return out - out.mean(dim=0)


class Infinite(Net):
    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        out = super().forward(x, edge_index)
        return out if self.training else out / (edge_index.shape[1] - EDGES)


class Noisy(Net):
    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        out = super().forward(x, edge_index)
        return out * torch.rand_like(out[:1, :1], dtype=torch.float32)


class Counting(Net):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("passes", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        self.passes += 1  # pyright: ignore
        return super().forward(x, edge_index)


class Detached(Net):
    def hidden(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return super().hidden(x, edge_index).detach()


class Numbered(Net):
    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return super().forward(x, edge_index) + torch.arange(len(x), device=x.device)[:, None]


class Ordered(Net):
    def message(self, hidden: Tensor) -> Tensor:
        return hidden * torch.linspace(0, 1, len(hidden), device=hidden.device, dtype=hidden.dtype)[:, None]


class WithoutTheLast(Net):
    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        nodes = int(edge_index.max()) + 1 if edge_index.numel() else len(x)
        return super().forward(x, edge_index)[:nodes]


class NeedsEdges(Net):
    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return super().forward(x, edge_index) / edge_index.max().clamp(1, 1)


class Squeezed(Net):
    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return super().forward(x, edge_index).squeeze()


class Listed(Net):
    def __init__(self) -> None:
        super().__init__()
        self.scales = [nn.Parameter(torch.tensor(2.0))]

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return super().forward(x, edge_index) * self.scales[0]


class Unregistered(Net):
    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.tensor(2.0)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return super().forward(x, edge_index) * self.scale


class Complex(Net):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("phase", torch.zeros(2, dtype=torch.complex64))


class ChangedByCompiling(Net):
    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return super().forward(x, edge_index) * (1 if self.leave.bias.requires_grad else 2)


class MeanOfChannels(Net):
    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        hidden = self.hidden(x, edge_index)
        return self.leave(hidden) + (0 if edge_index.shape[1] else hidden.mean(dim=1, keepdim=True))


class ChangedByConverting(Net):
    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return super().forward(x, edge_index) * (1 if len(list(self.parameters())) == 4 else 2)


class Single(Net):
    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return super().forward(x.float(), edge_index)


class OnTheCpu(Net):
    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return super().forward(x, edge_index) + torch.zeros(x.shape[0], 1)


WRONG_MODELS: dict[str, tuple[Callable[[], nn.Module], ...]] = {
    "outputs-finite": (Infinite,),
    "deterministic": (Noisy,),
    "evaluation-keeps-state": (Counting,),
    "gradients": (Detached,),
    "batch-of-one": (Centred,),
    "permutation-of-nodes": (Numbered,),
    "order-of-edges": (Ordered,),
    "isolated-nodes": (WithoutTheLast,),
    "no-edges one-node": (NeedsEdges,),
    "one-node": (Squeezed,),
    "complete-state": (Listed, Unregistered),
    "save-and-load": (Complex,),
    "compiled": (ChangedByCompiling,),
    "narrowed": (MeanOfChannels,),
    "quantized": (ChangedByConverting,),
    "double-precision": (Single,),
    "other-device": (OnTheCpu,),
}


def arguments(model: nn.Module) -> tuple[Tensor, ...]:
    return (*example(), torch.arange(NODES) // 4) if isinstance(model, Pooled) else example()


@pytest.mark.parametrize(
    ("model", "names"), [(model(), names) for names, models in WRONG_MODELS.items() for model in models]
)
def test_a_wrong_model_breaks_what_it_is_wrong_in_and_nothing_else(model: nn.Module, names: str) -> None:
    assert " ".join(report(check_model(model, arguments(model))).failed) == names


def test_every_check_of_models_has_failed() -> None:
    assert {name for names in WRONG_MODELS for name in names.split()} == set(MODEL_CHECKS)


@pytest.mark.parametrize(
    ("model", "left"), [(Net(), {"batch-of-one"}), (Pooled(), {"other-device"})], ids=["nodes", "graphs"]
)
def test_a_right_model_breaks_nothing(model: nn.Module, left: set[str]) -> None:
    found = report(check_model(model, arguments(model)))
    assert (found.failed, set(found.not_applicable)) == ({}, left)
    assert len(found.held) == len(MODEL_CHECKS) - 1
    assert str(found).endswith(f"\n{len(MODEL_CHECKS) - 1} run, 1 not applicable, 0 failed")


class OfData(Pooled):
    def forward(self, data: Any) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        if data.batch is None:
            return Net.forward(self, data.x, data.edge_index)
        return super().forward(data.x, data.edge_index, data.batch)


class Scored(Net):
    """Names that say nothing, a number for each edge, pairs to score, and how many nodes there are."""

    def forward(self, h: Tensor, e: Tensor, s: Tensor, p: Tensor, num_nodes: int = 0) -> Tensor:  # pyright: ignore
        hidden = torch.tanh(self.enter(h))
        sums = hidden.new_zeros(num_nodes, hidden.shape[1]).index_add(0, e[1], hidden[e[0]] * s[:, None])
        hidden = self.leave(sums)
        return (hidden[p[0]] * hidden[p[1]]).sum(dim=1)


class Several(Net):
    def forward(self, x: Tensor, edge_index: Tensor) -> Any:  # noqa: ANN401
        return {"labels": torch.zeros(len(x)), "logits": super().forward(x, edge_index)}


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


@pytest.mark.parametrize(
    ("arguments", "roles", "sentence"),
    [
        ((torch.ones(3, 2),), {}, "no argument is an edge_index [2, edges] (x: nodes); name it: roles={argument: "),
        (example(), {"edges": "edges"}, "the role 'edges' of 'edges' does not fit; arguments are: x, edge_index; roles"),
        (example(), {"x": "node"}, "the role 'node' of 'x' does not fit; arguments are: x, edge_index; roles: nodes, "),
        ((torch.ones(3, 2), torch.tensor([[0], [3]])), {}, "the edges name node 3, but there are 3 nodes; give roles="),
        ({"x": torch.ones(3, 2)}, {}, "the example does not fit forward: 'edge_index' is missing or too many"),
        ((*example(), torch.arange(NODES)), {}, "an edge of the example joins two graphs; give edges that stay in "),
        (
            (torch.ones(3, 2), torch.zeros(2, 3, dtype=torch.int64), torch.ones(3)),
            {},
            "'argument 2' may belong to nodes or to edges, of which there are 3 each; give roles=",
        ),
    ],
)
def test_an_example_that_nobody_can_read_is_refused(arguments: Any, roles: dict[str, str], sentence: str) -> None:  # noqa: ANN401
    with pytest.raises(SettingError) as caught:
        check_model(Net(), arguments, roles=roles)
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
    result.stdout.fnmatch_lines(["*::test_net[[]order-of-edges[]] PASSED*", "*the model is given one graph, or is not*"])
