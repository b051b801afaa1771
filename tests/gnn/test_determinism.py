"""A deterministic block has one thread and its own random numbers, and puts everything back."""

from collections.abc import Callable, Iterator

import pytest
import torch

from gnn.determinism import deterministic
from gnn.models import GraphModel
from gnn.tasks import NodeClassification
from gnn.training import evaluate, fit
from gnn.training_settings import TrainingSettings

NewModel = Callable[[int], GraphModel]

ONE_EPOCH = TrainingSettings(learning_rate=0.01, weight_decay=5e-3, epochs=1, patience=1)


@pytest.fixture
def restore_torch_globals() -> Iterator[None]:
    threads = torch.get_num_threads()
    enabled = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    yield
    torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("restore_torch_globals")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("enabled", "warn_only"), [(False, False), (True, False), (True, True)])
def test_threads_and_deterministic_flag_are_put_back(
    new_model: NewModel, small_task: NodeClassification, threads: int, enabled: bool, warn_only: bool
) -> None:
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
    fit(new_model(0), small_task, ONE_EPOCH, 0)
    evaluate(new_model(0), small_task)
    assert torch.get_num_threads() == threads
    assert torch.are_deterministic_algorithms_enabled() == enabled
    assert torch.is_deterministic_algorithms_warn_only_enabled() == warn_only


def fail_inside() -> None:
    with deterministic(0):
        assert torch.get_num_threads() == 1
        assert torch.are_deterministic_algorithms_enabled()
        torch.rand(1)
        raise RuntimeError("inside")


@pytest.mark.usefixtures("restore_torch_globals")
def test_an_error_in_the_block_puts_everything_back_too() -> None:
    torch.set_num_threads(2)
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="inside"):
        fail_inside()
    assert torch.get_num_threads() == 2
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.equal(torch.get_rng_state(), before)


def test_a_seed_gives_the_same_numbers_and_another_seed_others() -> None:
    drawn = []
    for seed in (1, 1, 2):
        with deterministic(seed):
            drawn.append(torch.rand(4))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_where_cuda_was_never_used_nobody_counts_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: pytest.fail("devices were counted"))
    with deterministic(seed=0):
        torch.rand(1)
