"""How sure a difference is: of means over seeds, of a mean and a reported one, and of many at once."""

import math
from collections.abc import Sequence

from bench.report.table import Cell, Quantity
from fixtures.paired import student_quantile

ALPHA = 0.05
# Below it a probability is not known so well that its digits say anything.
SMALL_P = 0.0001
MANY_DEGREES = 1e6  # of freedom, where Student's t is the normal distribution


def holm(p_values: Sequence[float]) -> list[float]:
    """P values adjusted for their number (Holm 1979): the k-th smallest of n times n - k + 1, at least those before."""
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = highest
    return adjusted


def difference_of_means(
    ours: tuple[float, float, int], theirs: tuple[float, float | None], rounding: float
) -> tuple[Quantity, float]:
    """Compare a mean over seeds with a reported one, of which only mean and deviation are known.

    The paper does not say of how many runs its deviation is, so it stands for the error of the reported mean as it is:
    Welch's t with sqrt(reported deviation^2 + s^2 / n), and his degrees of freedom for our part.

    Args:
        ours: Mean, standard deviation and number of seeds, two at least.
        theirs: Reported mean and deviation; one below the rounding may be as large as that.
        rounding: Half of the last printed digit; within it there is no difference.

    Returns:
        The difference with its 95% interval, and the probability of one as far beyond the rounding.
    """
    # SciPy's functions take half a second to import.
    from scipy.special import stdtr, stdtrit  # noqa: PLC0415

    mean, std, count = ours
    own = std**2 / count
    squared = own + max(theirs[1] or 0.0, rounding) ** 2
    freedom = min(MANY_DEGREES, (count - 1) * (squared / own) ** 2) if own else MANY_DEGREES
    error, difference = math.sqrt(squared), mean - theirs[0]
    half = float(stdtrit(freedom, 1 - ALPHA / 2)) * error
    p = 2 * float(stdtr(freedom, -max(0.0, abs(difference) - rounding) / error))
    return Quantity(difference, interval=(difference - half, difference + half)), p


def half_width(std: float, count: int) -> float:
    """How far the 95% interval of a mean of values with this standard deviation reaches (Student's t)."""
    return student_quantile(count, 1 - ALPHA / 2) * std / math.sqrt(count)


def shown_p(p: float | None) -> Cell:
    """A probability as a cell of a table."""
    return f"<{SMALL_P:g}" if p is not None and p < SMALL_P else p
