"""How much a model needs each of its channels."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gnn.compression.channel_groups import ChannelGroup
from gnn.compression.context import TrainingContext
from gnn.compression.prunable import prunable_parameters
from gnn.determinism import deterministic
from gnn.models import on_task


def magnitude_importance(model: nn.Module, groups: Sequence[ChannelGroup]) -> list[Tensor]:
    """The mean square of each channel's prunable weights, one vector [channels] for each group.

    I(c) = 1 / n * sum of w^2 over the n weights in all slices of channel c

    A sum would call a channel important for having many weights: one of SplineNet's hidden channels has 4,320 and a
    word has 48. The mean is what removing a channel takes from the model for each weight that it saves, so that groups
    of unlike channels can be compared. A weight that two of the slices share counts in both.
    """
    squares = {name: weight.square() for name, weight in _weights(model).items()}
    return [_per_weight(group, squares) for group in groups]


def taylor_importance(model: Any, groups: Sequence[ChannelGroup], training: TrainingContext) -> list[Tensor]:  # noqa: ANN401
    """How much the loss changes without each channel, to first order, one vector [channels] for each group.

    I(c) = mean over batches of |1 / n * sum of w * dL/dw over the n weights in all slices of channel c|

    L is the loss of a batch of the training part, as in training but in evaluation mode, without dropout and with the
    running statistics of BatchNorm. The absolute value is taken per batch because the gradients of all of them cancel
    out where training has converged. Weights are counted as in `magnitude_importance`.
    Source: Molchanov et al., arXiv 1611.06440, equations 7 and 8 (mean of the absolute values over examples), and
    arXiv 1906.10771, section 3.1 (weights in the place of activations).
    """
    task = training.task
    model.eval()
    weights = _weights(model)
    batches = []
    with deterministic(training.seed):
        asked = on_task(model, task)
        for loss in asked.losses(task, asked.prepare(task), training.recipe.training.batch_size):
            gradients = torch.autograd.grad(loss, list(weights.values()), materialize_grads=True)
            change = {
                name: weight.detach() * gradient
                for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
            }
            batches.append([_per_weight(group, change).abs() for group in groups])
    return [torch.stack(of_group).mean(0) for of_group in zip(*batches, strict=True)]


def _weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: model.get_parameter(name) for name, _, _ in prunable_parameters(model)}


@torch.no_grad()
def _per_weight(group: ChannelGroup, tensors: Mapping[str, Tensor]) -> Tensor:
    """The mean over the entries of all slices of each channel, [channels]."""
    rows = [part.double() for part in group.rows(tensors)]
    return torch.stack([part.sum(1) for part in rows]).sum(0) / sum(part.shape[1] for part in rows)
