"""Training HGP-SL gives the same bits whichever kernels learn its edges, and a maximum has PyTorch's own gradient."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import gnn.layers.hgpsl_pool
from gnn.determinism import deterministic
from gnn.layers.segment_maximum import segment_maximum
from gnn.models import MODELS
from gnn.native.library import library
from gnn.tasks import Task
from gnn.training import fit
from gnn.training_settings import TrainingSettings
from tests.gnn.toy_quantization import tasks_of_every_kind

SETTINGS = TrainingSettings(5e-3, 1e-3, epochs=3, patience=3, batch_size=16, select_by="loss")


def trained(task: Task) -> dict[str, Tensor]:
    with deterministic(3):
        model = MODELS["hgpsl"].build_for(task)
    fit(model, task, SETTINGS, seed=3)
    return model.state_dict()


@pytest.mark.skipif(library() is None, reason="there is no compiler")
def test_edges_learned_in_kernels_train_to_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    task = tasks_of_every_kind()["graph-classification"]
    calls: list[object] = []
    kernel = gnn.layers.hgpsl_pool.native_learned_edges
    monkeypatch.setattr(
        gnn.layers.hgpsl_pool, "native_learned_edges", lambda *given: calls.append(given) or kernel(*given)
    )
    in_kernels = trained(task)
    assert calls
    count = len(calls)
    monkeypatch.setenv("GNN_KERNELS", "torch")
    in_torch = trained(task)
    assert len(calls) == count
    assert all(torch.equal(in_torch[name], in_kernels[name]) for name in in_torch)


def test_a_maximum_and_its_gradient_are_those_of_pytorch() -> None:
    pointer = torch.tensor([0, 3, 3, 7, 8])
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(8, 5, generator=generator).relu()
    weight = torch.randn(4, 5, generator=generator)
    gradients = []
    for largest in (
        lambda x: segment_maximum(x, pointer),
        lambda x: functional.embedding_bag(torch.arange(8), x, pointer, mode="max", include_last_offset=True),
    ):
        x = values.clone().requires_grad_()
        maximum = largest(x)
        (maximum * weight).sum().backward()
        gradients.append((maximum.detach(), x.grad))
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))
