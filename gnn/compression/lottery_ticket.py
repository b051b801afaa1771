"""Lottery tickets: small networks that iterative pruning finds in the initial weights, and their controls."""

import copy
import math
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, get_args

from torch import Tensor, nn

from gnn.compression.context import Compressed, Context, TrainingContext
from gnn.compression.iterative_pruning import prune_further
from gnn.compression.masks import Masks, fine_tune
from gnn.compression.prunable import SparsitySettings
from gnn.compression.registry import register_method
from gnn.compression.retraining import Retrained, remember_retrained
from gnn.errors import SettingError
from gnn.training import fit

Start = Literal["init", "early", "random", "one-shot"]

SHARE_PER_ROUND = 0.2
EARLY_SHARE = 0.05
# Far from the seeds that cases are run with, so that no seed's random weights are another seed's initial ones.
RANDOM_SEED_OFFSET = 1_000_000


@dataclass(frozen=True)
class LotteryTicket(SparsitySettings):
    """Share of all prunable weights to remove, in [0, 1), and what the remaining ones are trained from.

    "init" is iterative pruning with rewinding to the initial weights and "early" to those of an early epoch. The others
    are controls: "random" trains the mask of "init" from weights drawn anew, and "one-shot" prunes once instead of in
    rounds. Raises `SettingError` for another start or share.
    """

    method: ClassVar[str] = "lottery-ticket"

    start: Start = "init"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.start not in get_args(Start):
            raise SettingError(f"start {self.start!r} is unknown; valid are: {', '.join(sorted(get_args(Start)))}")

    def id_parts(self) -> tuple[str, ...]:
        """The settings as they stand in a case id, such as ("s0.8", "init")."""
        return (*super().id_parts(), self.start)


@register_method(LotteryTicket)
def find_ticket(model: nn.Module, settings: LotteryTicket, context: Context) -> Compressed:
    """Find a mask, set the weights under it back and train them in full, with the recipe of the dense model.

    Every round zeroes the same share p of the remaining weights, the smallest in magnitude over the whole model, sets
    the others and the buffers back and trains them. The first round prunes the dense model itself. Of the p with which
    n whole rounds end exactly at the sparsity s, (1 - p)^n = 1 - s, it is the one nearest to 0.2. The early epoch is
    the last of the first twentieth of the recipe's epochs, as it was and not the best until then. Every start ends at
    the same sparsity to the weight and is trained with the seed, hence the batches, of the dense model. The time is
    that of all training besides the dense model's.

    Source: Frankle and Carbin, arXiv 1803.03635, Section 1; the early epoch: Frankle et al., arXiv 1903.01611. Edges
    are not pruned, other than in unified graph lottery tickets (arXiv 2102.06790). Raises `DivergenceError` when a loss
    is not finite.
    """
    return _remembered_ticket(model, settings, context).compressed


def _remembered_ticket(model: nn.Module, settings: LotteryTicket, context: Context) -> Retrained:
    what = {"method": LotteryTicket.method, "sparsity": float(settings.sparsity), "start": settings.start}
    find = _draw_anew if settings.start == "random" else _iterate
    return remember_retrained(context.training, what, lambda: find(model, settings, context))


def _iterate(model: nn.Module, settings: LotteryTicket, context: Context) -> Retrained:
    training = context.training
    start = _early_state(training) if settings.start == "early" else training.initial().state_dict()
    first, *later = (settings.sparsity,) if settings.start == "one-shot" else sparsity_of_rounds(settings.sparsity)
    found = _train_from(start, prune_further(model, Masks(), first), training, 0.0)
    for sparsity in later:
        masks = prune_further(found.model, found.masks, sparsity)
        found = _train_from(start, masks, training, found.extra_training_s)
    return found


def sparsity_of_rounds(sparsity: float) -> tuple[float, ...]:
    """The sparsity after every round of iterative pruning; the last one is exactly that asked for."""
    exact = math.log(1 - sparsity) / math.log(1 - SHARE_PER_ROUND)
    rounds = min(
        (max(1, math.floor(exact)), max(1, math.ceil(exact))),
        key=lambda rounds: abs(1 - (1 - sparsity) ** (1 / rounds) - SHARE_PER_ROUND),
    )
    return (*(1 - (1 - sparsity) ** (number / rounds) for number in range(1, rounds)), sparsity)


def _early_state(training: TrainingContext) -> dict[str, Tensor]:
    """The state of the dense model's training after its early epochs, which are run again: it was not kept."""
    settings, model = training.recipe.training, training.initial()
    epochs = max(1, round(EARLY_SHARE * settings.epochs))
    settings = replace(settings, epochs=epochs, patience=epochs, most_epochs=None)
    state: dict[str, Tensor] = {}
    fit(
        model,
        training.task,
        settings,
        training.seed,
        after_step=lambda: state.update(copy.deepcopy(model.state_dict())),
    )
    return state


def _draw_anew(model: nn.Module, settings: LotteryTicket, context: Context) -> Retrained:
    ticket = _remembered_ticket(model, replace(settings, start="init"), context)
    fresh = context.training.initial(context.training.seed + RANDOM_SEED_OFFSET)
    return _train_from(fresh.state_dict(), ticket.masks, context.training, ticket.extra_training_s)


def _train_from(start: dict[str, Tensor], masks: Masks, training: TrainingContext, before_s: float) -> Retrained:
    """Train the weights that the masks keep, from `start`; `before_s` are the CPU seconds it took to get the masks."""
    model = training.initial()
    model.load_state_dict(start)
    masks.apply(model)
    fitted = fine_tune(model, training.task, masks, training.recipe.training, training.seed)
    return Retrained(model, masks, fitted, before_s + fitted.cpu_s)
