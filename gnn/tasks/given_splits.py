"""How the examples of anybody's data are dealt out to the training, validation and test part."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from gnn.errors import DatasetError, SettingError
from gnn.tasks.graph_splits import random_split, stratified_split, whole_groups_split
from gnn.tasks.node_classification import Split
from gnn.tasks.task import PARTS

# What PyG calls the masks of the parts.
MASKS = {"train": "train_mask", "validation": "val_mask", "test": "test_mask"}
SplitFunction = Callable[[int], Sequence[Tensor] | Split]
Shares = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class SplitSettings:
    """How somebody wants examples to be split, as `node_task` takes it; `masks` are those that the data has."""

    split: str | SplitFunction | None
    groups: Tensor | None
    shares: Shares
    masks: Mapping[str, Tensor]


def split_rule(task: str, count: int, classes: Tensor | None, settings: SplitSettings) -> Callable[[int], Split]:
    """The function that splits `count` examples by a seed, after what can be checked once.

    `classes` [count] are the labels to stratify by, None where there is no class. The function raises `DatasetError`
    for parts that overlap, are empty or have examples that do not exist.
    """
    require_shares(settings.shares)
    draw = _drawing(task, count, classes, settings)
    return lambda seed: checked_split(task, count, draw(seed))


def _drawing(task: str, count: int, classes: Tensor | None, settings: SplitSettings) -> SplitFunction:
    if settings.groups is not None:
        return _grouped(count, settings)
    if callable(settings.split):
        return settings.split
    if settings.split is None and settings.masks:
        return _masked(task, settings.masks)
    if settings.split == "random":
        return lambda seed: random_split(count, seed, settings.shares)
    if settings.split == "stratified":
        if classes is None:
            raise SettingError("split='stratified' needs one class per example; choose split='random' or a function")
        return lambda seed: stratified_split(classes, seed, settings.shares)
    if settings.split is None:
        raise DatasetError(
            f"the data of {task} has no {', '.join(MASKS.values())}; add them, or choose split='random', 'stratified' "
            "or a function of the seed"
        )
    raise SettingError(
        f"split is {settings.split!r}, expected None, 'random', 'stratified' or a function of the seed that returns "
        "three masks or tensors of numbers"
    )


def require_shares(shares: Shares) -> None:
    """Raise `SettingError` unless three positive shares sum to 1."""
    numbers = isinstance(shares, tuple | list) and all(isinstance(share, int | float) for share in shares)
    if not numbers or len(shares) != 3 or min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
        raise SettingError(
            f"shares are {shares!r}, expected three positive numbers that sum to 1, such as (0.8, 0.1, 0.1)"
        )


def checked_split(task: str, count: int, parts: object) -> Split:
    """Three masks or tensors of numbers as a split; raises `DatasetError` when they are not that."""
    if isinstance(parts, Split):
        parts = (parts.train, parts.validation, parts.test)
    if not isinstance(parts, tuple | list) or len(parts) != 3 or not all(isinstance(part, Tensor) for part in parts):
        raise DatasetError(
            f"the split of {task} is {_described(parts)}, expected three tensors (train, validation, test): masks, or "
            "the numbers of examples"
        )
    numbers = [_numbers(task, count, name, part) for name, part in zip(PARTS, parts, strict=True)]
    for (first, one), (second, other) in combinations(zip(PARTS, numbers, strict=True), 2):
        common = one[torch.isin(one, other)]
        if len(common):
            raise DatasetError(
                f"{len(common)} examples of {task} are in both the {first} and the {second} part, the first is "
                f"{int(common.min())}; leave each in one part"
            )
    return Split(*numbers)


def _numbers(task: str, count: int, name: str, part: Tensor) -> Tensor:
    """The numbers of the examples of one part, in its order."""
    what = f"the {name} part of {task}"
    if part.dim() != 1 or part.is_floating_point() or part.is_complex() or part.dtype == torch.uint8:
        raise DatasetError(
            f"{what} is {_described(part)}, expected a mask (torch.bool) or the numbers of examples (torch.int64), one "
            "after the other; convert it, for example with .bool()"
        )
    if part.dtype == torch.bool:
        if len(part) != count:
            raise DatasetError(f"{what} is a mask of {len(part)} examples, expected {count}; give one entry for each")
        part = part.nonzero().flatten()
    part = part.long().cpu()
    if len(part) == 0:
        raise DatasetError(f"{what} is empty; give every part at least one of the {count} examples")
    if int(part.min()) < 0 or int(part.max()) >= count:
        wrong = int(part[(part < 0) | (part >= count)][0])
        raise DatasetError(f"{what} has the example {wrong}, expected numbers from 0 to {count - 1}; correct it")
    if len(part.unique()) < len(part):
        values, counts = part.unique(return_counts=True)
        raise DatasetError(f"{what} has the example {int(values[counts > 1][0])} more than once; name each once")
    return part


def _grouped(count: int, settings: SplitSettings) -> SplitFunction:
    groups = settings.groups
    if settings.split not in (None, "random"):
        raise SettingError(
            f"groups cannot be kept whole by split={settings.split!r}; choose split='random' or no groups"
        )
    if not isinstance(groups, Tensor) or groups.shape != (count,) or groups.is_floating_point():
        raise DatasetError(f"groups are {_described(groups)}, expected the whole number of a group for each of {count}")
    return lambda seed: whole_groups_split(groups.cpu(), seed, settings.shares)


def _masked(task: str, masks: Mapping[str, Tensor]) -> SplitFunction:
    """Masks [examples], or [examples, k] for k splits, of which a seed takes the one of number seed % k."""
    missing = [mask for mask in MASKS.values() if mask not in masks]
    if missing:
        raise DatasetError(f"the data of {task} has no {' and no '.join(missing)}; add it, or choose split='random'")
    for name, mask in masks.items():
        if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
            raise DatasetError(
                f"{name} of {task} is {_described(mask)}, expected a mask of type torch.bool; convert it with .bool()"
            )
    return lambda seed: [
        mask[:, seed % mask.shape[1]] if mask.dim() == 2 and mask.shape[1] else mask
        for mask in (masks[name] for name in MASKS.values())
    ]


def _described(value: Any) -> str:  # noqa: ANN401
    if isinstance(value, Tensor):
        return f"a tensor of the type {value.dtype} and the shape {tuple(value.shape)}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}: {', '.join(type(each).__name__ for each in value)}"
    return f"a {type(value).__name__}"
