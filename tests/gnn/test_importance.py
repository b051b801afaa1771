"""The importance of a channel is what its formula says, and measuring it leaves no trace."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from gnn.compression import TrainingContext
from gnn.compression.importance import magnitude_importance, taylor_importance
from gnn.determinism import deterministic
from gnn.models import MODELS, GraphModel
from tests.gnn.five_models import FIVE_MODELS, random_model, small_tasks, traced

TASKS = small_tasks()


def training_context(name: str) -> TrainingContext:
    task = TASKS[name]
    recipe = MODELS[name].recipe_for(task)
    return TrainingContext(name, task, recipe, 3, lambda: random_model(name, task), lambda _, build: build())


@torch.no_grad()
def weights_of_channel(name: str, model: GraphModel, group_number: int, channel: int) -> list[tuple[str, Tensor]]:
    """For each slice of a matrix, its name and a mask of the entries that belong to the channel."""
    group = traced(model, TASKS[name]).groups[group_number]
    found = []
    for part in group.slices:
        tensor = model.state_dict()[part.tensor]
        if tensor.dim() >= 2:
            mask = torch.zeros_like(tensor, dtype=torch.bool)
            mask.movedim(part.axis, 0)[part.offset + channel] = True
            found.append((part.tensor, mask))
    return found


@pytest.mark.parametrize("name", FIVE_MODELS)
def test_magnitude_is_the_mean_square_of_all_weights_of_a_channel(name: str) -> None:
    model = random_model(name, TASKS[name])
    groups = traced(model, TASKS[name]).groups
    importance = magnitude_importance(model, groups)
    assert [len(of_group) for of_group in importance] == [group.channels for group in groups]
    for number, of_group in enumerate(importance):
        entries = [model.state_dict()[tensor][mask] for tensor, mask in weights_of_channel(name, model, number, 1)]
        assert float(of_group[1]) == pytest.approx(float(torch.cat(entries).double().square().mean()), rel=1e-6)


class Fade(nn.Module):
    """Entries of a weight times a factor."""

    def __init__(self, entries: Tensor, factor: Tensor) -> None:
        super().__init__()
        self.entries, self.factor = entries, [factor]

    def forward(self, weight: Tensor) -> Tensor:
        """The weight with its entries faded."""
        return torch.where(self.entries, self.factor[0] * weight, weight)


def slopes(name: str, model: GraphModel, entries: list[tuple[str, Tensor]]) -> list[float]:
    """How fast the loss of each batch of the training part changes while a channel's weights grow together."""
    faded, context = copy.deepcopy(model), training_context(name)
    factor = torch.ones((), requires_grad=True)
    for tensor, mask in entries:
        layer, _, weight = tensor.rpartition(".")
        parametrize.register_parametrization(faded.get_submodule(layer), weight, Fade(mask, factor))
    with deterministic(context.seed):
        inputs = faded.prepare(context.task)
        losses = faded.losses(context.task, inputs, context.recipe.training.batch_size)
        return [float(torch.autograd.grad(loss, factor)[0]) for loss in losses]


@pytest.mark.parametrize("name", FIVE_MODELS)
def test_taylor_is_how_fast_the_loss_changes_while_a_channel_fades_away(name: str) -> None:
    model = random_model(name, TASKS[name])
    groups = traced(model, TASKS[name]).groups
    importance = taylor_importance(model, groups, training_context(name))
    # The convolutions of HGP-SL, its first group, share weights among themselves, which count twice.
    for number in range(1 if name == "hgpsl" else 0, len(groups)):
        entries = weights_of_channel(name, model, number, 1)
        changes = [abs(slope) for slope in slopes(name, model, entries)]
        count = sum(int(mask.sum()) for _, mask in entries)
        expected = sum(changes) / len(changes) / count
        assert float(importance[number][1]) == pytest.approx(expected, rel=1e-3, abs=1e-7)


@pytest.mark.parametrize("name", FIVE_MODELS)
def test_measuring_changes_neither_weights_nor_statistics_nor_gradients(name: str) -> None:
    model = random_model(name, TASKS[name])
    state = copy.deepcopy(model.state_dict())
    groups = traced(model, TASKS[name]).groups
    random_state = torch.get_rng_state()
    first = taylor_importance(model, groups, training_context(name))
    second = taylor_importance(model, groups, training_context(name))
    magnitude_importance(model, groups)
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    assert all(not of_group.requires_grad and bool((of_group >= 0).all()) for of_group in first)
    assert all(torch.equal(value, state[tensor]) for tensor, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert torch.equal(torch.get_rng_state(), random_state)
