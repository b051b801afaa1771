"""GIN is the one of Degree-Quant, and as large as the paper counts."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from gnn.models.gin import Gin, GinSettings
from gnn.tasks import GraphBatch
from tests.gnn.random_graphs import by_target, random_task


@pytest.mark.parametrize(
    ("in_channels", "state_numbers", "parameters"), [(3, 43_271, 42_626), (4, 43_335, 42_690), (9, 43_655, 43_010)]
)
def test_size_is_that_of_the_paper(in_channels: int, state_numbers: int, parameters: int) -> None:
    model = Gin(GinSettings(in_channels, 2))
    assert sum(tensor.numel() for tensor in model.state_dict().values()) == state_numbers
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


def reference_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The reference calls the first convolution conv1 and counts the others from zero, and each has its eps."""
    renamed = {}
    for name, tensor in state.items():
        if name.endswith(".eps"):
            assert tensor.tolist() == [0.0]
            continue
        parts = name.split(".")
        if parts[0] == "conv1":
            parts[:1] = ["convs", "0"]
        elif parts[0] == "convs":
            parts[1] = str(int(parts[1]) + 1)
        renamed[".".join(parts)] = tensor
    return renamed


@pytest.fixture
def golden(golden_folder: Path) -> dict[str, Any]:
    return torch.load(golden_folder / "dq_gin_small.pt", weights_only=True)


@pytest.fixture
def golden_batch(golden: dict[str, Any]) -> GraphBatch:
    sizes = torch.bincount(golden["batch"])
    pointer = torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])
    return GraphBatch(golden["x"], by_target(golden["edge_index"]), pointer, golden["y"])


@pytest.mark.golden
def test_golden_gin_in_evaluation_mode(golden: dict[str, Any], golden_batch: GraphBatch) -> None:
    case = golden["cases"][0]
    assert case["qypte"] == "FP32"
    model = Gin(GinSettings(in_channels=4, out_channels=2, hidden_channels=16, feature_scaling="none")).eval()
    model.load_state_dict(reference_names(case["state_dict"]))
    logits = model(golden_batch)
    torch.testing.assert_close(logits.log_softmax(1), case["eval_output"], rtol=0, atol=1e-5)


@pytest.mark.golden
def test_golden_gin_in_training_mode(golden: dict[str, Any], golden_batch: GraphBatch) -> None:
    case = golden["cases"][0]
    model = Gin(GinSettings(in_channels=4, out_channels=2, hidden_channels=16, feature_scaling="none"))
    fresh = model.state_dict()
    expected = reference_names(case["state_dict"])
    model.load_state_dict({name: fresh[name] if is_running(name) else expected[name] for name in expected})
    for seed, output in zip((100, 101, 102), case["train_outputs_seed_100_to_102"], strict=True):
        torch.manual_seed(seed)
        torch.testing.assert_close(model(golden_batch).log_softmax(1), output, rtol=0, atol=1e-5)
    torch.testing.assert_close(model.state_dict(), expected, rtol=0, atol=1e-5)


def is_running(name: str) -> bool:
    """Whether forward passes change it: the reference's state was saved after three of them."""
    return name.rsplit(".", 1)[1] in ("running_mean", "running_var", "num_batches_tracked")


def test_settings_fit_the_task() -> None:
    settings = GinSettings.for_task(random_task(channels=7))
    assert (settings.in_channels, settings.out_channels) == (7, 2)
    assert (settings.hidden_channels, settings.layers, settings.dropout) == (64, 5, 0.5)
    assert settings.feature_scaling == "asinh"
    assert settings.widths == [(7, 64), *[(64, 64)] * 4]
