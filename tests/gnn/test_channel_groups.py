"""Channels are cut out of every tensor that knows them, and out of nothing else."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gnn.compression import prunable_parameters
from gnn.compression.channel_groups import ChannelGroup, ChannelSlice, WeightCount, slice_state
from gnn.compression.narrowing import narrow_model
from gnn.models import GraphModel, build_model, settings_mapping
from tests.gnn.five_models import FIVE_MODELS, outputs_on_test, pass_over, random_model, small_tasks, traced

PROPERTY = settings(deadline=None, max_examples=5, derandomize=True)
# By layer, what has an entry for each channel: tensor, axis and, unless it is 0, offset.
GROUPS: dict[str, dict[str, set[tuple[object, ...]]]] = {
    "gin": {
        **{
            f"convs.{number}.nn.0": {
                *((f"convs.{number}.nn.0.{name}", 0) for name in ("weight", "bias")),
                (f"convs.{number}.nn.2.weight", 1),
            }
            for number in range(5)
        },
        **{
            f"convs.{number}.nn.2": {
                *((f"convs.{number}.nn.2.{name}", 0) for name in ("weight", "bias")),
                *((f"convs.{number}.nn.4.{name}", 0) for name in ("weight", "bias", "running_mean", "running_var")),
                ("lin1.weight" if number == 4 else f"convs.{number + 1}.nn.0.weight", 1),
            }
            for number in range(5)
        },
        "lin1": {("lin1.weight", 0), ("lin1.bias", 0), ("lin2.weight", 1)},
    },
    "gnnnet": {
        f"gnn_layers.{number}.lin": {
            (f"gnn_layers.{number}.lin.weight", 0),
            (f"gnn_layers.{number}.bias", 0),
            ("mlps.0.weight" if number == 2 else f"gnn_layers.{number + 1}.lin.weight", 1),
        }
        for number in range(3)
    },
    "hgpsl": {
        "conv1.lin": {
            *(("conv1.lin.weight", 0), ("conv1.bias", 0), ("conv2.weight", 0), ("conv3.weight", 0)),
            *(("conv2.weight", 1), ("conv2.bias", 0), ("conv3.weight", 1), ("conv3.bias", 0)),
            *((name, 1) for name in ("pool1.att", "pool2.att", "lin1.weight")),
            *((name, 1, 10) for name in ("pool1.att", "pool2.att", "lin1.weight")),
        },
        "lin1": {("lin1.weight", 0), ("lin1.bias", 0), ("lin2.weight", 1)},
        "lin2": {("lin2.weight", 0), ("lin2.bias", 0), ("lin3.weight", 1)},
    },
    "ness": {"kept_features": {("lin.weight", 1)}, "lin": {("lin.weight", 0), ("lin.bias", 0)}},
    "spline": {
        "kept_features": {("conv1.weight", 1), ("conv1.lin.weight", 1)},
        "conv1": {
            *(("conv1.weight", 2), ("conv1.lin.weight", 0), ("conv1.bias", 0)),
            *(("conv2.weight", 1), ("conv2.lin.weight", 1)),
        },
    },
}
TASKS = small_tasks()


def random_choice(groups: tuple[ChannelGroup, ...], seed: int) -> list[Tensor]:
    """Some channels of each group, at least one."""
    generator = torch.Generator().manual_seed(seed)
    chosen = []
    for group in groups:
        kept = torch.rand(group.channels, generator=generator) < 0.6
        kept[torch.randint(group.channels, (1,), generator=generator)] = True
        chosen.append(kept)
    return chosen


def narrowed(model: GraphModel, name: str, kept: list[Tensor]) -> GraphModel:
    """A narrower model that a file can describe, which `narrow_model` has compared with zeros in the wide one."""
    own = copy.deepcopy(model)
    narrow_model(own, traced(model, TASKS[name]), kept, pass_over(TASKS[name]))
    narrow = build_model(name, settings_mapping(own))
    narrow.load_state_dict(own.state_dict())
    return narrow.eval()


@torch.no_grad()
def silence(model: GraphModel, groups: tuple[ChannelGroup, ...], kept: list[Tensor]) -> None:
    """Make every parameter of the other channels zero, so that they contribute nothing."""
    parameters = dict(model.named_parameters())
    for group, channels in zip(groups, kept, strict=True):
        for part in group.slices:
            if part.tensor in parameters:
                entries = parameters[part.tensor].narrow(part.axis, part.offset, group.channels)
                entries.movedim(part.axis, 0)[~channels] = 0


@pytest.mark.parametrize("name", FIVE_MODELS)
def test_groups_of_each_model_are_those_of_its_equations(name: str) -> None:
    found = traced(random_model(name, TASKS[name]), TASKS[name])
    slices = {
        group.name: {(part.tensor, part.axis, *([part.offset] if part.offset else [])) for part in group.slices}
        for group in found.groups
    }
    assert slices == GROUPS[name]
    layers = [group.name for group in found.groups]
    assert sorted(layers, key=lambda layer: (layer != "kept_features", layer)) == layers
    assert [group.mask for group in found.groups if group.mask] == ["kept_features"] * ("kept_features" in layers)
    assert found.untouched == {}


@pytest.mark.parametrize("name", FIVE_MODELS)
@PROPERTY
@given(st.integers(0, 999))
def test_channels_that_contribute_nothing_are_cut_without_a_change(name: str, seed: int) -> None:
    model = random_model(name, TASKS[name], seed)
    groups = traced(model, TASKS[name]).groups
    kept = random_choice(groups, seed)
    silence(model, groups, kept)
    narrow = narrowed(model, name, kept)
    expected = outputs_on_test(model, TASKS[name])
    assert expected.std() > 0
    scale = float(expected.abs().max())
    torch.testing.assert_close(outputs_on_test(narrow, TASKS[name]), expected, rtol=1e-5, atol=1e-6 * max(1, scale))


@pytest.mark.parametrize("name", ["spline", "ness"])
def test_a_model_that_was_cut_once_is_cut_again(name: str) -> None:
    model = random_model(name, TASKS[name])
    words = TASKS[name].feature_count
    first, second = (
        torch.arange(words) % 3 != 1,
        torch.ones(int((torch.arange(words) % 3 != 1).sum()), dtype=torch.bool),
    )
    second[5:9] = False
    hidden = torch.ones(traced(model, TASKS[name]).groups[1].channels, dtype=torch.bool)
    twice = narrowed(narrowed(model, name, [first, hidden]), name, [second, hidden])
    both = first.clone()
    both[first] = second
    assert twice.state_dict()["kept_features"].bool().equal(both)
    at_once = narrowed(model, name, [both, hidden])
    assert torch.equal(outputs_on_test(twice, TASKS[name]), outputs_on_test(at_once, TASKS[name]))


@pytest.mark.parametrize("name", FIVE_MODELS)
@PROPERTY
@given(st.integers(0, 999))
def test_weights_are_counted_without_cutting(name: str, seed: int) -> None:
    model = random_model(name, TASKS[name])
    groups = traced(model, TASKS[name]).groups
    kept = random_choice(groups, seed)
    count = WeightCount({name: model.get_parameter(name).shape for name, _, _ in prunable_parameters(model)}, groups)
    narrow = narrowed(model, name, kept)
    expected = sum(narrow.get_parameter(name).numel() for name, _, _ in prunable_parameters(narrow))
    assert count.without([int((~channels).sum()) for channels in kept]) == expected


def test_slices_with_an_offset_and_on_two_axes() -> None:
    group = ChannelGroup("both", 3, (ChannelSlice("square", 0), ChannelSlice("square", 1), ChannelSlice("pair", 0, 3)))
    state = {"square": torch.arange(9).view(3, 3), "pair": torch.arange(6), "other": torch.arange(3)}
    sliced = slice_state(state, [group], [torch.tensor([True, False, True])])
    assert sliced["square"].tolist() == [[0, 2], [6, 8]]
    assert sliced["pair"].tolist() == [0, 1, 2, 3, 5]
    assert sliced["other"].tolist() == [0, 1, 2]
    assert [rows.tolist() for rows in group.rows(state)] == [
        [[0, 1, 2], [3, 4, 5], [6, 7, 8]],
        [[0, 3, 6], [1, 4, 7], [2, 5, 8]],
        [[3], [4], [5]],
    ]
