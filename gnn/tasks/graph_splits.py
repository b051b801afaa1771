"""How graphs are dealt out to the training, validation and test part."""

import numpy as np
import torch
from torch import Tensor

from gnn.errors import DatasetError
from gnn.tasks.node_classification import Split

TRAINING_SHARE = 0.8
VALIDATION_SHARE = 0.1
TEST_SHARE = 0.1
SHARES = (TRAINING_SHARE, VALIDATION_SHARE, TEST_SHARE)


def random_split(graphs: int, seed: int, shares: tuple[float, float, float] = SHARES) -> Split:
    """80% to train, 10% to validate, the rest to test, or other shares, in the random order of the seed.

    The same numbers as `torch.utils.data.random_split` with those sizes after `torch.manual_seed(seed)`; the global
    random state is neither read nor changed.
    """
    train, validation = (int(graphs * share) for share in shares[:2])
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


def whole_groups_split(group: Tensor, seed: int, shares: tuple[float, float, float] = SHARES) -> Split:
    """Groups go undivided to random parts, the more likely to a part the more room it has left.

    The largest groups choose first, so that the parts come close to their shares; no part stays empty when there are
    three groups. Shape: group [examples] int64.
    """
    generator = torch.Generator().manual_seed(seed)
    number, sizes = group.unique(return_inverse=True, return_counts=True)[1:]
    order = torch.randperm(len(sizes), generator=generator)
    order = order[sizes[order].argsort(descending=True, stable=True)]
    room, part = len(group) * torch.tensor(shares, dtype=torch.float64), torch.full_like(sizes, -1)
    for left, chosen in zip(range(len(order), 0, -1), order.tolist(), strict=True):
        empty = torch.tensor([not bool((part == each).any()) for each in range(len(shares))])
        open_parts = room >= sizes[chosen]
        if int(empty.sum()) >= left:
            open_parts = empty
        if not bool(open_parts.any()):
            open_parts = room == room.max()
        chance = torch.where(open_parts, room.clamp(min=1e-9), 0.0)
        part[chosen] = torch.multinomial(chance, 1, generator=generator)
        room[part[chosen]] -= sizes[chosen]
    shuffled = torch.randperm(len(group), generator=generator)
    of_example = part[number[shuffled]]
    return Split(*(shuffled[of_example == each] for each in range(len(shares))))


def stratified_split(labels: Tensor, seed: int, shares: tuple[float, float, float] = SHARES) -> Split:
    """Every class has about the same share of each part, as scikit-learn's `train_test_split` deals it out.

    Raises `DatasetError` when a class has too few examples. Shape: labels [examples] int64.
    """
    # scikit-learn takes a second to import, and only this split needs it.
    from sklearn.model_selection import train_test_split  # noqa: PLC0415

    train, validation = (int(len(labels) * share) for share in shares[:2])
    try:
        fitted, test = train_test_split(
            np.arange(len(labels)), train_size=train + validation, random_state=seed, stratify=labels.numpy()
        )
        train, validation = train_test_split(fitted, train_size=train, random_state=seed, stratify=labels[fitted])
    except ValueError as error:
        raise DatasetError(
            f"{len(labels)} examples cannot be split by their labels with shares {shares}: {error} Join rare classes, "
            "or choose split='random'"
        ) from None
    return Split(*map(torch.from_numpy, (train, validation, test)))


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
