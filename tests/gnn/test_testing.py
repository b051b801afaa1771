"""Every check of gnn.testing fails for a model or a method that is wrong in its way, and for no other."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from gnn.testing import MODEL_CHECKS, check_model, report

NODES, EDGES = 12, 30


def example() -> tuple[Tensor, Tensor]:
    """Nodes whose edges stay in a graph of four, and all of which have one."""
    generator = torch.Generator().manual_seed(0)
    source, target = torch.randint(0, 4, (EDGES,), generator=generator), torch.arange(EDGES) % NODES
    return torch.randn(NODES, 4, generator=generator), torch.stack([target // 4 * 4 + source, target])


class Net(nn.Module):
    """A sum over neighbours between two layers; the wrong ones do one thing more."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.enter, self.leave = nn.Linear(4, 8), nn.Linear(8, 3)

    def message(self, hidden: Tensor) -> Tensor:
        return hidden

    def hidden(self, x: Tensor, edge_index: Tensor) -> Tensor:
        hidden = torch.tanh(self.enter(x))
        return hidden + torch.zeros_like(hidden).index_add(0, edge_index[1], self.message(hidden[edge_index[0]]))

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.leave(self.hidden(x, edge_index))


class Pooled(Net):
    """The mean over the nodes of each graph."""

    def forward(self, x: Tensor, edge_index: Tensor, batch: Tensor) -> Tensor:
        hidden, sizes = self.hidden(x, edge_index), torch.bincount(batch)
        return self.leave(hidden.new_zeros(len(sizes), hidden.shape[1]).index_add(0, batch, hidden) / sizes[:, None])


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
