"""How the edges of a graph are dealt out to the parts, and the pairs without an edge beside them."""

import numpy as np
import torch
from torch import Tensor

from gnn.tasks.link_prediction import Links

# A table of all pairs has one byte for each, and the numbers of those that are free eight times as many.
MOST_NODES_IN_A_TABLE = 4096


def random_links(
    links: Tensor, nodes: int, shares: tuple[float, float], generator: torch.Generator
) -> tuple[Links, Links, Links]:
    """Random links to train on, to validate and to test with the shares of the last two; see `with_non_links`.

    Shapes: links [2, links], each pair once.
    """
    total = links.shape[1]
    counts = [int(total * share) for share in shares]
    order = torch.randperm(total, generator=generator)
    validation, test, train = links[:, order].split([*counts, total - sum(counts)], dim=1)
    return with_non_links(links, nodes, (train, validation, test), generator)


def with_non_links(
    links: Tensor, nodes: int, parts: tuple[Tensor, Tensor, Tensor], generator: torch.Generator
) -> tuple[Links, Links, Links]:
    """The links to train on, to validate and to test, and as many random pairs beside each that are none.

    Those of validation and test are none of all links, those of training no training link: a training that knew which
    pairs are links of the other parts would have seen them. Shapes: links [2, links] as (low, high), each pair once.
    """
    train, validation, test = parts
    counts = [validation.shape[1], test.shape[1]]
    of_validation, of_test = draw_non_links(links, nodes, sum(counts), generator).split(counts, dim=1)
    of_train = draw_non_links(train, nodes, train.shape[1], generator)
    return Links(train, of_train), Links(validation, of_validation), Links(test, of_test)


def draw_non_links(
    links: Tensor, nodes: int, count: int, generator: torch.Generator, most_nodes: int = MOST_NODES_IN_A_TABLE
) -> Tensor:
    """Distinct pairs (low, high) that are none of `links` [2, links], in random order, [2, count].

    In graphs of more than `most_nodes` nodes pairs are drawn until enough are free, which at least half of them must
    be.
    """
    if nodes > most_nodes:
        chosen = _draw_until_free(links[0] * nodes + links[1], nodes, count, generator)
    else:
        free = torch.triu(torch.ones(nodes, nodes, dtype=torch.bool), diagonal=1)
        free[links[0], links[1]] = False
        keys = free.flatten().nonzero().flatten()
        chosen = keys[torch.randperm(len(keys), generator=generator)[:count]]
    return torch.stack([chosen // nodes, chosen % nodes])


def _draw_until_free(taken: Tensor, nodes: int, count: int, generator: torch.Generator) -> Tensor:
    chosen = taken.new_zeros(0)
    while len(chosen) < count:
        first, second = torch.randint(nodes, (2, 2 * count + 8), generator=generator)
        keys = torch.minimum(first, second) * nodes + torch.maximum(first, second)
        keys = torch.cat([chosen, keys[(first != second) & ~torch.isin(keys, taken)]])
        # The first place of every key: unique() alone sorts, which would prefer nodes with low numbers.
        first_place = np.sort(np.unique(keys.numpy(), return_index=True)[1])
        chosen = keys[torch.from_numpy(first_place)]
    return chosen[:count]
