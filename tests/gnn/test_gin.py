"""GIN is the one of Degree-Quant, and as large as the paper counts."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from gnn.errors import SettingError
from gnn.models.gin import Gin, GinConvolution, GinSettings
from gnn.tasks import GraphBatch
from tests.gnn.random_graphs import batch_of, by_target, random_task


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


def test_convolution_is_the_equation_node_by_node() -> None:
    torch.manual_seed(0)
    batch = batch_of([6, 1, 4])
    layer = GinConvolution(4, 8).eval()
    source, target = batch.edge_index
    total = [batch.features[i] + batch.features[source[target == i]].sum(0) for i in range(len(batch.features))]
    out = layer(batch.features, batch.adjacency)
    torch.testing.assert_close(out, layer.nn(torch.stack(total)), rtol=1e-5, atol=1e-6)


def test_dropout_is_drawn_only_in_training_mode() -> None:
    torch.manual_seed(0)
    batch = batch_of([6, 3, 4])
    model = Gin(GinSettings(4, 2))
    assert not torch.equal(model(batch), model(batch))
    model.eval()
    assert torch.equal(model(batch), model(batch))
    without = Gin(GinSettings(4, 2, dropout=0.0))
    assert torch.equal(without(batch), without(batch))


def test_asinh_scaling_is_that_of_the_features() -> None:
    torch.manual_seed(0)
    batch = batch_of([6, 3, 4])
    scaled = GraphBatch(batch.features.asinh(), batch.edge_index, batch.node_pointer, batch.labels)
    plain, asinh = (Gin(GinSettings(4, 2, feature_scaling=scaling)).eval() for scaling in ("none", "asinh"))
    asinh.load_state_dict(plain.state_dict())
    assert torch.equal(asinh(batch), plain(scaled))
    assert not torch.equal(asinh(batch), plain(batch))


def test_settings_fit_the_task() -> None:
    settings = GinSettings.for_task(random_task(channels=7))
    assert (settings.in_channels, settings.out_channels) == (7, 2)
    assert (settings.hidden_channels, settings.layers, settings.dropout) == (64, 5, 0.5)
    assert settings.feature_scaling == "asinh"
    assert settings.widths == [(7, 64), *[(64, 64)] * 4]


@pytest.mark.parametrize("name", ["in_channels", "out_channels", "hidden_channels", "layers"])
@pytest.mark.parametrize("size", [0, -1, 2.0])
def test_sizes_that_make_no_sense_are_refused(name: str, size: float) -> None:
    sizes: dict[str, Any] = {"in_channels": 4, "out_channels": 2, name: size}
    with pytest.raises(SettingError, match=r"^sizes of a graph classifier must be whole numbers from 1 on; they are "):
        GinSettings(**sizes)


@pytest.mark.parametrize("dropout", [-0.1, 1.0, float("nan")])
def test_a_dropout_that_is_no_share_is_refused(dropout: float) -> None:
    with pytest.raises(SettingError, match=rf"^dropout {dropout} is outside \[0, 1\); give the share "):
        GinSettings(4, 2, dropout=dropout)


def test_an_unknown_feature_scaling_is_refused() -> None:
    with pytest.raises(SettingError, match=r"^unknown feature_scaling 'log'; valid are: asinh, none$"):
        GinSettings(4, 2, feature_scaling="log")
