"""Channels are cut out of every tensor that knows them, and out of nothing else."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gnn.compression import prunable_parameters
from gnn.compression.channel_groups import ChannelGroup, ChannelSlice, WeightCount, slice_state
from gnn.compression.channel_layouts import channel_layout
from gnn.errors import SettingError
from gnn.models import GraphModel, build_model
from tests.gnn.five_models import FIVE_MODELS, outputs_on_test, random_model, small_tasks

PROPERTY = settings(deadline=None, max_examples=12, derandomize=True)
GROUPS = {
    "gin": [*(f"convs.{number}.nn.{place}" for number in range(5) for place in (0, 2)), "lin1"],
    "gnnnet": ["gnn_layers.0", "gnn_layers.1", "gnn_layers.2"],
    "hgpsl": ["convolutions", "lin1", "lin2"],
    "ness": ["words", "embedding"],
    "spline": ["words", "hidden"],
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
    """The narrower model, built as a file would build it."""
    layout = channel_layout(model)
    groups = layout.groups(model.settings)
    narrow_settings = layout.narrow(model.settings, [int(channels.sum()) for channels in kept])
    narrow = build_model(name, vars(narrow_settings))
    narrow.load_state_dict(slice_state(model.state_dict(), groups, kept))
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
def test_groups_of_each_model_share_an_axis_without_a_gap(name: str) -> None:
    model = random_model(name, TASKS[name])
    groups = channel_layout(model).groups(model.settings)
    assert [group.name for group in groups] == GROUPS[name]
    covered: dict[tuple[str, int], list[int]] = {}
    for group in groups:
        for part in group.slices:
            entries = range(part.offset, part.offset + group.channels)
            covered.setdefault((part.tensor, part.axis), []).extend(entries)
    for (tensor, axis), entries in covered.items():
        assert sorted(entries) == list(range(model.state_dict()[tensor].shape[axis]))


@pytest.mark.parametrize("name", FIVE_MODELS)
def test_every_axis_of_every_parameter_belongs_to_a_group_or_is_given_by_the_task(name: str) -> None:
    model = random_model(name, TASKS[name])
    sliced = {
        (part.tensor, part.axis) for group in channel_layout(model).groups(model.settings) for part in group.slices
    }
    whole = {
        (tensor, axis)
        for tensor, parameter in model.named_parameters()
        for axis in range(parameter.dim())
        if (tensor, axis) not in sliced
    }
    assert (
        whole
        == {
            "gin": {("convs.0.nn.0.weight", 1), ("lin2.weight", 0), ("lin2.bias", 0)},
            "gnnnet": {("gnn_layers.0.lin.weight", 1), ("mlps.0.weight", 0), ("mlps.0.bias", 0)},
            "hgpsl": {
                ("conv1.lin.weight", 1),
                ("lin3.weight", 0),
                ("lin3.bias", 0),
                ("pool1.att", 0),
                ("pool2.att", 0),
            },
            "ness": set(),
            "spline": {
                *((f"conv{layer}.weight", 0) for layer in (1, 2)),
                ("conv2.weight", 2),
                ("conv2.lin.weight", 0),
                ("conv2.bias", 0),
            },
        }[name]
    )


@pytest.mark.parametrize("name", FIVE_MODELS)
@PROPERTY
@given(st.integers(0, 999))
def test_channels_that_contribute_nothing_are_cut_without_a_change(name: str, seed: int) -> None:
    model = random_model(name, TASKS[name], seed)
    groups = channel_layout(model).groups(model.settings)
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
    hidden = torch.ones(channel_layout(model).groups(model.settings)[1].channels, dtype=torch.bool)
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
    groups = channel_layout(model).groups(model.settings)
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


def test_a_model_without_groups_is_refused() -> None:
    model = build_model("ssp", {"in_channels": 4, "out_channels": 2})
    with pytest.raises(SettingError) as caught:
        channel_layout(model)
    assert str(caught.value).endswith("they can from: Gin, GnnNet, HgpSlNet, Ness, SplineNet")
