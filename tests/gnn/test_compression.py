"""Pruning removes exactly what was asked, the smallest weights first, and fine-tuning keeps it removed."""

from collections.abc import Callable
from typing import Any, ClassVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from gnn.compression import (
    METHODS,
    CompressionSettings,
    Dense,
    FineGrained,
    GlobalMagnitude,
    Masks,
    compress,
    fine_tune,
    prunable_parameters,
    sparsity_of,
)
from gnn.errors import SettingError, UnknownNameError
from gnn.models import GraphModel, build_model
from gnn.tasks import NodeClassification
from gnn.training_settings import TrainingSettings

NewModel = Callable[[int], GraphModel]

PROPERTY = settings(deadline=None, max_examples=40, derandomize=True)
PRUNABLE = ["conv1.weight", "conv1.lin.weight", "conv2.weight", "conv2.lin.weight"]
SHARES = st.floats(0, 1, exclude_max=True) | st.sampled_from([0.0, 0.5, 0.8, 0.9, 0.99])
METHOD_CLASSES = (GlobalMagnitude, FineGrained)


def random_model(seed: int) -> GraphModel:
    model = build_model("spline", {"in_channels": 13, "out_channels": 3, "hidden_channels": 5})
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(generator=generator)
    return model


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    return {name: model.get_parameter(name).detach().clone() for name in PRUNABLE}


def assert_smallest_are_gone(before: Tensor, after: Tensor, removed: int) -> None:
    """Exactly `removed` weights are +0.0, none of the others changed, and none of those is smaller."""
    gone = after == 0
    assert int(gone.sum()) == removed
    assert torch.equal(after[~gone], before[~gone])
    assert not after[gone].view(torch.int32).any()
    if 0 < removed < before.numel():
        assert before[gone].abs().max() <= before[~gone].abs().min()


@PROPERTY
@given(SHARES, st.integers(0, 999))
def test_global_pruning_removes_the_smallest_of_all_weights(share: float, seed: int) -> None:
    model = random_model(seed)
    before = torch.cat([weight.flatten() for weight in weights_of(model).values()])
    model = compress(model, GlobalMagnitude(share)).model
    after = torch.cat([weight.flatten() for weight in weights_of(model).values()])
    assert_smallest_are_gone(before, after, round(share * before.numel()))
    assert sparsity_of(model)[0] == round(share * before.numel()) / before.numel()


@PROPERTY
@given(SHARES, st.integers(0, 999))
def test_fine_grained_pruning_removes_the_smallest_of_every_layer(share: float, seed: int) -> None:
    model = random_model(seed)
    before = weights_of(model)
    model = compress(model, FineGrained(share)).model
    layers = sparsity_of(model)[1]
    assert list(layers) == PRUNABLE
    for name, after in weights_of(model).items():
        removed = round(share * after.numel())
        assert_smallest_are_gone(before[name], after, removed)
        assert layers[name] == removed / after.numel()


def test_the_two_methods_differ() -> None:
    one, other = random_model(0), random_model(0)
    with torch.no_grad():
        for model in (one, other):
            model.get_parameter("conv1.weight").mul_(100)
    one = compress(one, GlobalMagnitude(0.5)).model
    other = compress(other, FineGrained(0.5)).model
    assert sparsity_of(one)[1]["conv1.weight"] < 0.1
    assert sparsity_of(other)[1]["conv1.weight"] == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("method", METHOD_CLASSES)
def test_biases_and_buffers_are_untouched(method: type[Any]) -> None:
    model = random_model(1)
    others = {name: tensor.clone() for name, tensor in model.state_dict().items() if name not in PRUNABLE}
    assert set(others) >= {"conv1.bias", "conv2.bias"}
    model = compress(model, method(0.9)).model
    for name, tensor in others.items():
        assert torch.equal(model.state_dict()[name], tensor)


@pytest.mark.parametrize("method", METHOD_CLASSES)
def test_masks_tell_what_was_kept(method: type[Any]) -> None:
    model = random_model(2)
    compressed = compress(model, method(0.6))
    model, masks = compressed.model, compressed.masks
    assert list(masks.kept) == PRUNABLE
    for name, kept in masks.kept.items():
        assert kept.dtype == torch.bool
        assert torch.equal(kept, model.get_parameter(name) != 0)


def test_dense_changes_nothing() -> None:
    model, fresh = random_model(4), random_model(4)
    masks = compress(model, Dense()).masks
    assert masks.kept == {}
    assert sparsity_of(model)[0] == 0
    for name, tensor in fresh.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor)


def test_an_applied_mask_leaves_positive_zeros_and_the_same_parameter() -> None:
    model = random_model(5)
    parameter = model.get_parameter("conv1.weight")
    with torch.no_grad():
        parameter.copy_(-parameter.abs() - 1)
    kept = torch.zeros_like(parameter, dtype=torch.bool)
    kept[0] = True
    expected = parameter.detach().clone()
    expected[1:] = 0.0
    Masks({"conv1.weight": kept}).apply(model)
    assert model.get_parameter("conv1.weight") is parameter
    assert torch.equal(parameter.view(torch.int32), expected.view(torch.int32))


@pytest.mark.parametrize("method", METHOD_CLASSES)
def test_fine_tuning_keeps_pruned_weights_at_zero_and_trains_the_others(
    method: type[Any], new_model: NewModel, small_task: NodeClassification
) -> None:
    model = new_model(0)
    masks = compress(model, method(0.7)).masks
    before = weights_of(model)
    fitted = fine_tune(model, small_task, masks, TrainingSettings(0.01, 5e-3, epochs=5, patience=5), 0)
    assert fitted.epochs == 5
    for name, after in weights_of(model).items():
        gone = ~masks.kept[name]
        assert gone.any()
        assert not after[gone].view(torch.int32).any()
        assert (after[~gone] != before[name][~gone]).double().mean() > 0.9


@pytest.mark.parametrize("method", METHOD_CLASSES)
@pytest.mark.parametrize("share", [-0.1, -1e-9, 1, 1.0, 1.5, float("nan"), float("inf"), float("-inf")])
def test_a_share_outside_the_range_is_refused(method: type[Any], share: float) -> None:
    with pytest.raises(SettingError) as caught:
        method(share)
    assert str(caught.value) == (
        f"sparsity {share} is outside [0, 1); give the share of weights to remove, such as 0.5"
    )


@pytest.mark.parametrize(
    ("settings_", "parts"),
    [
        (Dense(), ()),
        (GlobalMagnitude(0.8), ("s0.8",)),
        (GlobalMagnitude(0), ("s0",)),
        (FineGrained(0.5), ("s0.5",)),
        (FineGrained(0.95), ("s0.95",)),
        (GlobalMagnitude(0.999), ("s0.999",)),
    ],
)
def test_settings_as_they_stand_in_a_case_id(settings_: CompressionSettings, parts: tuple[str, ...]) -> None:
    assert settings_.id_parts() == parts


@pytest.mark.parametrize("share", [0.9999999, 0.12345678])
def test_the_id_tells_the_whole_share(share: float) -> None:
    assert GlobalMagnitude(share).id_parts() == (f"s{share}",)


def test_methods_are_registered_by_the_names_of_their_settings() -> None:
    for settings_class in (Dense, *METHOD_CLASSES):
        assert METHODS[settings_class.method].settings_class is settings_class
    assert [settings_class.method for settings_class in (Dense, *METHOD_CLASSES)] == [
        "dense",
        "global",
        "fine-grained",
    ]


def test_settings_of_no_method_are_refused() -> None:
    class Unregistered(Dense):
        method: ClassVar[str] = "melt"

    with pytest.raises(UnknownNameError, match=r"^unknown method 'melt'; valid are: .*fine-grained, global"):
        compress(random_model(0), Unregistered())


def test_everything_with_two_dimensions_or_more_is_prunable_and_nothing_else() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3))
            self.table = nn.Parameter(torch.ones(2, 2))
            self.register_buffer("buffer", torch.ones(4, 4))
            self.inner = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.Conv1d(2, 2, 3))

    model = Mixed()
    targets = prunable_parameters(model)
    assert [name for name, _, _ in targets] == ["table", "inner.0.weight", "inner.2.weight"]
    for name, module, parameter_name in targets:
        assert getattr(module, parameter_name) is model.get_parameter(name)


def test_sparsity_counts_zeros_over_prunable_weights_only() -> None:
    model = random_model(6)
    with torch.no_grad():
        model.get_parameter("conv1.bias").zero_()
        model.get_parameter("conv2.lin.weight").flatten()[:4].zero_()
        model.get_parameter("conv2.lin.weight").flatten()[4].fill_(-0.0)
    total, layers = sparsity_of(model)
    sizes = {name: weight.numel() for name, weight in weights_of(model).items()}
    assert layers == {name: (5 / sizes[name] if name == "conv2.lin.weight" else 0.0) for name in PRUNABLE}
    assert total == 5 / sum(sizes.values())
