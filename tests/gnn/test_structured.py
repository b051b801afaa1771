"""Structured pruning leaves a smaller model of the size that was asked for, with the channels that matter most."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from gnn.compression import (
    METHODS,
    Compressed,
    GlobalMagnitude,
    Structured,
    TrainingContext,
    compress,
    fine_tune,
    prunable_parameters,
    sparsity_of,
)
from gnn.compression.channel_groups import ChannelGroup, ChannelSlice, WeightCount
from gnn.compression.structured import kept_channels
from gnn.errors import SettingError
from gnn.models import MODELS, GraphModel, build_model, settings_mapping
from gnn.training_settings import TrainingSettings
from tests.gnn.five_models import FIVE_MODELS, outputs_on_test, random_model, small_tasks, traced
from tests.gnn.foreign_models import foreign_model

PROPERTY = settings(deadline=None, max_examples=25, derandomize=True)
TASKS = small_tasks()


def training_context(name: str, model: GraphModel) -> TrainingContext:
    task = TASKS[name]
    return TrainingContext(
        model_name=name,
        task=task,
        recipe=MODELS[name].recipe_for(task),
        seed=0,
        initial=lambda: copy.deepcopy(model),
        remember=lambda _, build: build(),
    )


def prune(name: str, sparsity: float, importance: str = "magnitude") -> tuple[GraphModel, Compressed]:
    """A random model as it was, and what pruning made of it."""
    model = random_model(name, TASKS[name])
    structured = Structured(sparsity, importance)  # pyright: ignore[reportArgumentType]
    compressed = compress(copy.deepcopy(model), structured, training_context(name, model))
    return model, compressed


def prunable_weights(model: nn.Module) -> int:
    return sum(getattr(module, name).numel() for _, module, name in prunable_parameters(model))


def sizes(model: nn.Module) -> dict[str, int]:
    return {name: tensor.numel() for name, tensor in model.state_dict().items()}


@pytest.mark.parametrize("importance", ["magnitude", "taylor"])
@pytest.mark.parametrize("name", FIVE_MODELS)
def test_the_result_is_a_smaller_model_without_masks(name: str, importance: str) -> None:
    dense, compressed = prune(name, 0.6, importance)
    model = compressed.model
    assert type(model) is type(dense)
    assert not model.training
    assert compressed.masks.kept == {}
    before, after = sizes(dense), sizes(model)
    assert set(compressed.shrunk) == {tensor for tensor in before if after[tensor] < before[tensor]}
    assert compressed.compressed_tensors == len(compressed.shrunk) > 0
    assert sparsity_of(model)[0] == 0
    rebuilt = build_model(name, settings_mapping(model))
    rebuilt.load_state_dict(model.state_dict())
    assert torch.equal(outputs_on_test(rebuilt.eval(), TASKS[name]), outputs_on_test(model, TASKS[name]))


@pytest.mark.parametrize("name", FIVE_MODELS)
@pytest.mark.parametrize("sparsity", [0.1, 0.5, 0.8])
def test_as_many_weights_are_left_as_an_unstructured_method_leaves_or_less_by_no_channel(
    name: str, sparsity: float
) -> None:
    dense, compressed = prune(name, sparsity)
    unstructured = copy.deepcopy(dense)
    unstructured = compress(unstructured, GlobalMagnitude(sparsity)).model
    allowed = sum(
        int(getattr(module, weight).count_nonzero()) for _, module, weight in prunable_parameters(unstructured)
    )
    left = prunable_weights(compressed.model)
    assert left <= allowed
    before, after = traced(dense, TASKS[name]).groups, traced(compressed.model, TASKS[name]).groups
    shapes = {name: dense.get_parameter(name).shape for name, _, _ in prunable_parameters(dense)}
    count = WeightCount(shapes, before)
    removed = [one.channels - other.channels for one, other in zip(before, after, strict=True)]
    assert count.without(removed) == left
    for number, channels in enumerate(removed):
        if channels:
            one_more = [*removed[:number], channels - 1, *removed[number + 1 :]]
            assert count.without(one_more) > allowed


@pytest.mark.parametrize("name", FIVE_MODELS)
def test_nothing_is_removed_at_sparsity_zero(name: str) -> None:
    model = random_model(name, TASKS[name])
    state = {tensor: value.clone() for tensor, value in model.state_dict().items()}
    compressed = compress(model, Structured(0.0), training_context(name, model))
    assert compressed.compressed_tensors == 0
    assert all(torch.equal(value, state[tensor]) for tensor, value in compressed.model.state_dict().items())


@pytest.mark.parametrize("name", FIVE_MODELS)
def test_a_narrow_model_is_fine_tuned(name: str) -> None:
    _, compressed = prune(name, 0.7)
    shapes, before = sizes(compressed.model), copy.deepcopy(compressed.model.state_dict())
    recipe = TrainingSettings(1e-3, 0.0, epochs=2, patience=2, batch_size=16)
    fitted = fine_tune(compressed.model, TASKS[name], compressed.masks, recipe, 0)
    assert fitted.epochs == 2
    assert sizes(compressed.model) == shapes
    changed = [tensor for tensor, value in compressed.model.named_parameters() if not value.equal(before[tensor])]
    assert len(changed) >= len(before) / 3


@torch.no_grad()
def test_small_channels_go_and_the_others_are_kept_as_they_are() -> None:
    model = random_model("gnnnet", TASKS["gnnnet"])
    small = torch.zeros(10, dtype=torch.bool)
    small[[2, 3, 7]] = True
    # Alike in all channels of a layer but for their size, so that the count alone decides.
    for layer in ("gnn_layers.0.lin.weight", "gnn_layers.1.lin.weight", "gnn_layers.2.lin.weight", "mlps.0.weight"):
        model.get_parameter(layer).sign_()
    model.get_parameter("gnn_layers.0.lin.weight")[small] *= 1e-3
    model.get_parameter("gnn_layers.1.lin.weight")[:, small] *= 1e-3
    dense = copy.deepcopy(model)
    gone = 3 * (4 + 10)
    narrow = compress(model, Structured(gone / prunable_weights(model)), training_context("gnnnet", model)).model
    assert narrow.settings.hidden_channels == (7, 10, 10)
    for name, kept in {
        "gnn_layers.0.lin.weight": dense.get_parameter("gnn_layers.0.lin.weight")[~small],
        "gnn_layers.0.bias": dense.get_parameter("gnn_layers.0.bias")[~small],
        "gnn_layers.1.lin.weight": dense.get_parameter("gnn_layers.1.lin.weight")[:, ~small],
        "gnn_layers.2.lin.weight": dense.get_parameter("gnn_layers.2.lin.weight"),
    }.items():
        assert torch.equal(narrow.get_parameter(name), kept)


def two_groups(first: int, second: int) -> WeightCount:
    """A matrix between two layers, and another one that the second layer is read by, 3 weights for each channel."""
    groups = (
        ChannelGroup("first", first, (ChannelSlice("between", 1),)),
        ChannelGroup("second", second, (ChannelSlice("between", 0), ChannelSlice("after", 1))),
    )
    return WeightCount({"between": (second, first), "after": (3, second)}, groups)


@PROPERTY
@given(st.integers(1, 7), st.integers(1, 7), st.integers(0, 999), st.floats(0, 0.95))
def test_channels_go_in_the_order_of_their_importance_and_the_best_of_each_group_stays(
    first: int, second: int, seed: int, sparsity: float
) -> None:
    weights = two_groups(first, second)
    generator = torch.Generator().manual_seed(seed)
    importance = [torch.rand(size, generator=generator) for size in (first, second)]
    dense, smallest = weights.without([0, 0]), weights.without([first - 1, second - 1])
    allowed = dense - round(sparsity * dense)
    if smallest > allowed:
        with pytest.raises(SettingError, match="but one channel of each group has"):
            kept_channels(importance, weights, sparsity)
        return
    kept = kept_channels(importance, weights, sparsity)
    removed = [int((~channels).sum()) for channels in kept]
    assert weights.without(removed) <= allowed
    for of_group, channels in zip(importance, kept, strict=True):
        assert channels[of_group.argmax()]
    assert removed == [0, 0] or sparsity > 0
    # No channel fits back, whatever its importance.
    for number in range(2):
        back = [count - (place == number) for place, count in enumerate(removed)]
        assert removed[number] == 0 or weights.without(back) > allowed


@pytest.mark.parametrize(("allowed", "comes_back"), [(35, True), (34, False)])
def test_a_channel_comes_back_when_the_last_removal_made_room_for_it(allowed: int, comes_back: bool) -> None:
    weights = two_groups(4, 6)
    assert weights.without([0, 0]) == 42
    importance = [torch.tensor([0.1, 2.0, 4.0, 9.0]), torch.tensor([0.3, 5.0, 6.0, 7.0, 8.0, 9.0])]
    # The first to go leaves 36 and the second 30; the second alone would leave 35.
    kept = kept_channels(importance, weights, 1 - allowed / 42)
    assert [channels.tolist() for channels in kept] == [[comes_back, True, True, True], [False] + [True] * 5]


def test_a_sparsity_that_whole_channels_cannot_reach_is_refused() -> None:
    model = random_model("gnnnet", TASKS["gnnnet"])
    with pytest.raises(SettingError) as caught:
        compress(model, Structured(0.99), training_context("gnnnet", model))
    assert str(caught.value) == (
        "sparsity 0.99 leaves 3 of 260 weights, but one channel of each group has 8; give a lower sparsity"
    )


def test_taylor_asks_for_the_training_data() -> None:
    model, example = foreign_model("gcn")
    with pytest.raises(SettingError, match=r"^this method trains the model; give compress"):
        compress(model, Structured(0.5, "taylor"), example=example)


def test_the_two_kinds_of_importance_choose_differently() -> None:
    chosen = [
        prune("spline", 0.5, importance)[1].model.state_dict()["kept_features"]
        for importance in ("magnitude", "taylor")
    ]
    assert not torch.equal(*chosen)


@pytest.mark.parametrize(
    ("structured", "parts"),
    [(Structured(0.8), ("s0.8",)), (Structured(0.8, "taylor"), ("s0.8", "taylor")), (Structured(0), ("s0",))],
)
def test_settings_as_they_stand_in_a_case_id(structured: Structured, parts: tuple[str, ...]) -> None:
    assert structured.id_parts() == parts
    assert METHODS["structured"].settings_class is Structured


@pytest.mark.parametrize("importance", ["", "random", None])
def test_an_unknown_importance_is_refused(importance: object) -> None:
    with pytest.raises(SettingError) as caught:
        Structured(0.5, importance)  # pyright: ignore[reportArgumentType]
    assert str(caught.value) == f"unknown importance {importance!r}; valid are: magnitude, taylor"


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_a_share_outside_the_range_is_refused(share: float) -> None:
    with pytest.raises(SettingError, match=r"is outside \[0, 1\)"):
        Structured(share)
