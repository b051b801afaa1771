"""How graphs are dealt out to the training, validation and test part."""

import numpy as np
import torch
from torch import Tensor

from gnn.tasks.node_classification import Split

TRAINING_SHARE = 0.8
VALIDATION_SHARE = 0.1


def random_split(graphs: int, seed: int) -> Split:
    """80% to train, 10% to validate, the rest to test, in the random order of the seed.

    The same numbers as `torch.utils.data.random_split` with those sizes after `torch.manual_seed(seed)`; the global
    random state is neither read nor changed.
    """
    train, validation = int(graphs * TRAINING_SHARE), int(graphs * VALIDATION_SHARE)
    order = torch.randperm(graphs, generator=torch.Generator().manual_seed(seed))
    return Split(*order.split([train, validation, graphs - train - validation]))


def grouped_random_split(group: Tensor, seed: int) -> Split:
    """The split of `random_split`, but all graphs of a group go to the part of the group's first graph.

    Which graph is the first says nothing of the order of the seed, so the parts keep their sizes on average. Shape:
    group [graphs] int64.
    """
    split = random_split(len(group), seed)
    parts = (split.train, split.validation, split.test)
    part = torch.empty_like(group)
    for number, graphs in enumerate(parts):
        part[graphs] = number
    _, first, inverse = np.unique(group.numpy(), return_index=True, return_inverse=True)
    part, order = part[first[inverse]], torch.cat(parts)
    return Split(*(order[part[order] == number] for number in range(len(parts))))


def scaffold_split(scaffold: Tensor) -> Split:
    """Groups of graphs with one scaffold go undivided into the first part that has room, the largest group first.

    Source: DeepChem's ScaffoldSplitter, whose order puts the group with the later first graph first when two are
    equally large; the other order leaves a test part of one class on BBBP. Shape: scaffold [graphs] int64.
    """
    groups: dict[int, list[int]] = {}
    for graph, number in enumerate(scaffold.tolist()):
        groups.setdefault(number, []).append(graph)
    train_limit = TRAINING_SHARE * len(scaffold)
    validation_limit = (TRAINING_SHARE + VALIDATION_SHARE) * len(scaffold)
    train: list[int] = []
    validation: list[int] = []
    test: list[int] = []
    for group in sorted(groups.values(), key=lambda members: (len(members), members[0]), reverse=True):
        if len(train) + len(group) <= train_limit:
            train += group
        elif len(train) + len(validation) + len(group) <= validation_limit:
            validation += group
        else:
            test += group
    return Split(*(torch.tensor(part, dtype=torch.int64) for part in (train, validation, test)))
