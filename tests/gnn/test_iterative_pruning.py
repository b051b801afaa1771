"""A step of iterative pruning removes as much as is missing, the smallest first, and forgets nothing."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gnn.compression import GlobalMagnitude, Masks, compress, prunable_parameters, sparsity_of
from gnn.compression.iterative_pruning import prune_further
from gnn.models import GraphModel
from tests.gnn.test_compression import random_model

PROPERTY = settings(deadline=None, max_examples=40, derandomize=True)
SHARES = st.floats(0, 1, exclude_max=True) | st.sampled_from([0.0, 0.5, 0.8, 0.9])


def weight_count(model: GraphModel) -> int:
    return sum(getattr(module, name).numel() for _, module, name in prunable_parameters(model))


def removed_of(masks: Masks) -> int:
    return sum(int((~mask).sum()) for mask in masks.kept.values())


@PROPERTY
@given(SHARES, st.integers(0, 999))
def test_the_first_step_is_global_magnitude_pruning(share: float, seed: int) -> None:
    model, other = random_model(seed), random_model(seed)
    masks = prune_further(model, Masks(), share)
    expected = compress(other, GlobalMagnitude(share))
    assert all(torch.equal(mask, masks.kept[name]) for name, mask in expected.masks.kept.items())
    assert all(torch.equal(tensor, expected.model.state_dict()[name]) for name, tensor in model.state_dict().items())


@PROPERTY
@given(SHARES, SHARES, st.integers(0, 999))
def test_a_later_step_keeps_what_was_removed_and_removes_the_smallest_of_the_rest(
    one: float, other: float, seed: int
) -> None:
    first, second = sorted((one, other))
    model = random_model(seed)
    before = prune_further(model, Masks(), first)
    # As after rewinding: other weights than those the mask was made for.
    model.load_state_dict(random_model(seed + 1).state_dict())
    weights = {name: model.get_parameter(name).detach().clone() for name in before.kept}
    after = prune_further(model, before, second)
    assert removed_of(after) == round(second * weight_count(model))
    assert not any((mask & ~before.kept[name]).any() for name, mask in after.kept.items())
    newly = torch.cat([weights[name][before.kept[name] & ~mask].abs() for name, mask in after.kept.items()])
    kept = torch.cat([weights[name][mask].abs() for name, mask in after.kept.items()])
    assert not len(newly) or not len(kept) or newly.max() <= kept.min()


def test_a_kept_weight_that_is_zero_does_not_count_as_removed() -> None:
    model = random_model(0)
    before = prune_further(model, Masks(), 0.2)
    with torch.no_grad():
        for name in before.kept:
            model.get_parameter(name).zero_()
    after = prune_further(model, before, 0.5)
    assert removed_of(after) == round(0.5 * weight_count(model))
    assert not any((mask & ~before.kept[name]).any() for name, mask in after.kept.items())


def test_nothing_of_the_pruning_tool_is_left_and_masked_weights_are_zero() -> None:
    model = random_model(1)
    masks = prune_further(model, prune_further(model, Masks(), 0.3), 0.6)
    assert model.state_dict().keys() == random_model(1).state_dict().keys()
    assert not any(module._forward_pre_hooks for module in model.modules())
    assert sparsity_of(model)[0] == removed_of(masks) / weight_count(model)
