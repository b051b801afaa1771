"""A fused form is compared with the module's own forward as exactly as that computes, and no more."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gnn.runtime import compile as compile_module
from gnn.runtime import compile_inference, compiled, explain
from gnn.runtime.agreement import MOST_ROUNDING, TOLERANCE, own_rounding
from gnn.runtime.kernels import Affine
from gnn.runtime.peepholes import fuse
from tests.gnn.five_models import random_model, small_tasks

FEATURES, CHANNELS = 6, 16
EXAMPLE = torch.linspace(-1, 1, 8 * FEATURES).view(8, FEATURES)
OTHERWISE = "not fused, since the fused form gave something else than the module's own forward"


@pytest.fixture
def normalised() -> nn.Sequential:
    module = nn.Sequential(
        nn.Linear(FEATURES, CHANNELS), nn.ReLU(), nn.BatchNorm1d(CHANNELS), nn.Linear(CHANNELS, 3)
    ).train()
    for _ in range(50):
        module(torch.randn(64, FEATURES))
    return module.eval()


def kill_channels(module: nn.Sequential, constant: float) -> None:
    """Channels that are always `constant`, as pruning leaves them, and the statistics that training gives them."""
    state = module.state_dict()
    state["0.weight"][::2] = 0
    state["0.bias"][::2] = state["2.running_mean"][::2] = constant
    state["2.running_var"][::2] = 1e-31


def test_a_channel_that_never_varies_makes_the_modules_own_result_inexact(normalised: nn.Sequential) -> None:
    state = {name: tensor.clone() for name, tensor in normalised.state_dict().items()}
    assert 0 < own_rounding(normalised, (EXAMPLE,), {}) < TOLERANCE["fp32"]
    assert all(torch.equal(tensor, state[name]) for name, tensor in normalised.state_dict().items())
    kill_channels(normalised, constant=100.0)
    assert own_rounding(normalised, (EXAMPLE,), {}) == MOST_ROUNDING


@pytest.mark.parametrize("give", [lambda x: x * torch.inf, lambda x: x * 0, lambda x: [x]], ids=["inf", "zero", "list"])
def test_what_has_no_largest_number_has_no_share_of_it(give: object) -> None:
    class Gives(nn.Module):
        def forward(self, x: Tensor) -> object:
            return give(x)  # pyright: ignore[reportCallIssue]

    assert own_rounding(Gives(), (EXAMPLE,), {}) == 0


def test_a_form_that_rounds_elsewhere_is_taken_and_one_that_is_wrong_is_not(
    normalised: nn.Sequential, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No two orders of sums agree so well, which stands for a module that amplifies what rounding did.
    monkeypatch.setitem(TOLERANCE, "fp32", 1e-12)
    assert explain(compile_module(normalised, EXAMPLE))[""].startswith("fused: ")

    def refuse(*_: object) -> None:
        raise AssertionError("the wrapper was run")

    wrapped: Any = torch.compile(normalised, backend=refuse)
    assert explain(compile_module(wrapped, EXAMPLE))[""].startswith("fused: ")

    after = Affine.after
    monkeypatch.setattr(Affine, "after", lambda layer, scale, shift: after(layer, scale, shift * 1.001))
    assert explain(compile_module(normalised, EXAMPLE))[""] == OTHERWISE
    kill_channels(normalised, constant=100.0)
    assert explain(compile_module(normalised, EXAMPLE))[""] == OTHERWISE


def test_models_on_a_task_are_compared_so_too(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setitem(TOLERANCE, "fp32", 1e-12)
    monkeypatch.setattr(compiled, "fuse", lambda *given: said.append(fuse(*given)) or said[-1])
    task = small_tasks()["gin"]
    compile_inference(random_model("gin", task), task)
    assert [words.partition(":")[0] for words in said] == ["fused"]
