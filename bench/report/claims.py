"""What would change how a practitioner works, claim by claim: what is measured for it, and whether a run supports it.

A claim is a sentence and the comparisons that decide it. Each comparison is paired by seed, and its mean has to lie on
one side of a bound; Student's t says how sure that is, and Holm's procedure corrects for all comparisons of all claims.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev

from bench.report.comparison import CLOSE, LEAST_SEEDS
from bench.report.significance import ALPHA, half_width, holm, shown_p
from bench.report.table import Cell, Quantity, Table
from fixtures.record import Record, Results

SUPPORTED, CONTRADICTED, UNDECIDED, NOT_RUN = "supported", "contradicted", "undecided", "not run"
SHOWN = 5
ABOVE, BELOW = "above", "below"
# Of fewer nobody can say what holds for models.
LEAST_MODELS = 3
NORMAL_95 = 1.959964
ROUNDING = 1e-12
CLAIM_RULE = (
    f"supported: every comparison lies on the asked side of its bound with a p below {ALPHA}, corrected for all "
    "comparisons of all claims (Holm), shown or not; contradicted: one lies on the other side, as surely; undecided: "
    f"neither. Fewer than {LEAST_SEEDS} seeds decide nothing, a claim about models in general needs {LEAST_MODELS}. "
    "Differences are paired by seed, of several models each seed's difference is their mean; intervals are the 95% "
    f"ones of Student's t, not corrected. {CLOSE} is a difference of scores that nobody would act on. Of speed-ups and "
    "sizes the one nearest to the wrong side decides: a size repeats exactly, a speed-up, which is measured on the "
    "model of one seed, has the interval of its rounds and a p for the number of models"
)


@dataclass(frozen=True)
class Compared:
    """One comparison: a number known to within its 95% interval, and the side of a bound on which a claim has it.

    `p` is how probable a number as far from the bound is, to either side: None for what repeats exactly, which has no
    interval, and for too few to tell. `count` is how many of `unit` it is from.
    """

    what: str
    value: Quantity
    count: int
    unit: str
    side: str
    bound: float
    p: float | None = None
    adjusted_p: float | None = None
    exact: bool = False
    style: str = "+.3f"

    @property
    def verdict(self) -> str:
        """What it says of its claim."""
        if not self.exact and (self.adjusted_p is None or self.adjusted_p >= ALPHA):
            return UNDECIDED
        return SUPPORTED if (self.value > self.bound) == (self.side == ABOVE) else CONTRADICTED

    @property
    def sentence(self) -> str:
        """All that was found, in a line."""
        sure = "repeats exactly" if self.exact else f"too few {self.unit}"
        if self.adjusted_p is not None:
            p = shown_p(self.adjusted_p)
            sure = f"corrected p {p if isinstance(p, str) else f'{p:.2g}'}"
        asked = f"asked is {self.side} {self.bound:{self.style}}"
        return f"{self.what}: {self.value:{self.style}} ({self.count} {self.unit}; {asked}; {sure})"


def mean_of(what: str, values: Sequence[float], side: str, bound: float) -> Compared:
    """The mean of a value for each seed, by Student's t."""
    # SciPy's functions take half a second to import.
    from scipy.special import stdtr  # noqa: PLC0415

    count, centre = len(values), fmean(values)
    if count < LEAST_SEEDS:
        return Compared(what, Quantity(centre), count, "seeds", side, bound)
    std, half = stdev(values), half_width(stdev(values), count)
    # Less than the rounding of a mean is no distance, and no scatter.
    apart = max(0.0, abs(centre - bound) - ROUNDING)
    p = 2 * float(stdtr(count - 1, -apart * math.sqrt(count) / max(std, ROUNDING)))
    return Compared(what, Quantity(centre, interval=(centre - half, centre + half)), count, "seeds", side, bound, p)


def least_speedup(what: str, records: Sequence[Record], side: str, bound: float) -> Compared:
    """The speed-up that is nearest to the wrong side of the bound, by the interval of its logarithm."""
    # SciPy's functions take half a second to import.
    from scipy.special import ndtr  # noqa: PLC0415

    found = [(r.speedup.compression, r) for r in records if r.speedup.compression and r.speedup.compression_ci95]
    if len(found) < LEAST_MODELS:
        raise LackingError(f"{what} of {LEAST_MODELS} timed models")
    value, record = (min if side == ABOVE else max)(found, key=lambda pair: pair[0])
    low, high = record.speedup.compression_ci95 or (value, value)
    error = math.log(high / low) / (2 * NORMAL_95)
    p = 2 * float(ndtr(-abs(math.log(value / bound)) / error)) if error else float(value == bound)
    # The least of several is nearer to the bound by chance than any of them.
    p = min(1.0, len(found) * p)
    name = f"{what}: {'least' if side == ABOVE else 'most'} of {len(found)} models, {record.case_model}"
    quantity, rounds = Quantity(value, interval=(low, high)), record.speedup.compression_rounds or 0
    return Compared(name, quantity, rounds, "rounds of one seed", side, bound, p, style=".2f")


def least_size(what: str, ratios: Sequence[float], unit: str, bound: float) -> Compared:
    """The smallest of ratios of sizes that all have to be above a bound."""
    return Compared(what, Quantity(min(ratios)), len(ratios), unit, ABOVE, bound, exact=True, style=".2f")


class LackingError(LookupError):
    """A case that a claim needs was not run."""


@dataclass(frozen=True)
class Evidence:
    """The records of a run, and those of one under the paper's protocol, by the id of their case."""

    clean: Mapping[str, Record]
    paper: Mapping[str, Record]

    def record(self, case: str, *, paper: bool = False) -> Record:
        """The record of a case; raises `LackingError` where it was not run."""
        found = (self.paper if paper else self.clean).get(case)
        if found is None:
            raise LackingError(f"{case}{' under --protocol paper' if paper else ''}")
        return found

    def of_models(self, models: Iterable[str], *methods: str) -> list[tuple[Record, ...]]:
        """The records of these methods for every model that has them all.

        Raises `LackingError` where too few have them: all that are asked for, of many `LEAST_MODELS`.
        """
        models = [*models]
        cases = [[f"{model}.{method}" for method in methods] for model in models]
        found = [tuple(self.clean[case] for case in names) for names in cases if all(n in self.clean for n in names)]
        if len(found) < (least := min(LEAST_MODELS, len(models))):
            raise LackingError(f"{' and '.join(methods)} of {f'{least} models' if least > 1 else models[0]}")
        return found


def paired_mean(pairs: Sequence[tuple[Record, Record]]) -> tuple[float, ...]:
    """For every seed that all have, the mean over pairs of how much more accurate the first is."""
    by_seed = [[dict(zip(r.seeds, r.accuracy.values, strict=True)) for r in pair] for pair in pairs]
    seeds = set.intersection(*(set(values) for pair in by_seed for values in pair))
    if not seeds:
        raise LackingError(f"seeds that {' and '.join(record.id for pair in pairs for record in pair)} have both")
    return tuple(fmean(first[seed] - second[seed] for first, second in by_seed) for seed in sorted(seeds))


@dataclass(frozen=True)
class Claim:
    """A sentence that a run may support or contradict, what follows for whoever compresses, and how it is decided."""

    sentence: str
    advice: str
    comparisons: Callable[[Evidence], list[Compared]]


@dataclass(frozen=True)
class Judged:
    """A claim with what a run says of it; `lacking` names what was not run."""

    claim: Claim
    compared: tuple[Compared, ...]
    lacking: str = ""

    @property
    def verdict(self) -> str:
        """Contradicted where any comparison is, supported where all are."""
        found = {compared.verdict for compared in self.compared}
        if not found:
            return NOT_RUN
        return CONTRADICTED if CONTRADICTED in found else SUPPORTED if found == {SUPPORTED} else UNDECIDED

    @property
    def text(self) -> str:
        """The claim as the run leaves it: what follows from it is said only where it is supported."""
        said = {
            SUPPORTED: f"{self.claim.sentence} {self.claim.advice}",
            CONTRADICTED: f"The run contradicts this: {self.claim.sentence}",
            UNDECIDED: f"The run does not decide this: {self.claim.sentence}",
            NOT_RUN: f"{self.claim.sentence} (It needs {self.lacking}.)",
        }
        return said[self.verdict]


def judged_claims(claims: Sequence[Claim], results: Results, paper: Results | None = None) -> list[Judged]:
    """Judge claims by a run.

    Args:
        claims: All claims that are made, so that all count in the correction.
        results: What --results wrote.
        paper: A run under the paper's protocol, for claims about protocols.

    Returns:
        The claims in their order.
    """
    evidence = Evidence(_by_id(results), _by_id(paper) if paper else {})
    found = [_compared(claim, evidence) for claim in claims]
    p_values = [p for judged in found for compared in judged.compared if (p := compared.p) is not None]
    adjusted = iter(holm(p_values))
    return [
        replace(
            judged,
            compared=tuple(c if c.p is None else replace(c, adjusted_p=next(adjusted)) for c in judged.compared),
        )
        for judged in found
    ]


def _by_id(results: Results) -> dict[str, Record]:
    return {record.id: record for record in results.cases if not record.not_finite}


def _compared(claim: Claim, evidence: Evidence) -> Judged:
    try:
        return Judged(claim, tuple(claim.comparisons(evidence)))
    except LackingError as lacking:
        return Judged(claim, (), str(lacking))


def shown(judged: Sequence[Judged], count: int = SHOWN) -> list[Judged]:
    """The claims that are told first: what the run decides, then what it leaves undecided, each in their order."""
    order = (SUPPORTED, CONTRADICTED), (UNDECIDED,)
    return [found for verdicts in order for found in judged if found.verdict in verdicts][:count]


def claims_table(judged: Sequence[Judged]) -> Table:
    """A row for each comparison of each claim."""
    headers = ("claim", "verdict", "compared", "found [95%]", "asked", "of", "p, corrected")
    rows: list[list[Cell]] = []
    for found in judged:
        rows += [_row(found, compared) for compared in found.compared]
        if not found.compared:
            rows.append([found.claim.sentence, NOT_RUN, f"needs {found.lacking}", None, None, None, None])
    number = sum(compared.p is not None for found in judged for compared in found.compared)
    notes = [CLAIM_RULE, f"{number} comparisons of {len(judged)} claims were corrected together"]
    styles = {"found [95%]": "+.4f", "p, corrected": ".2g"}
    return Table("claims", "Claims, and what the run says of them", headers, rows, notes, styles)


def _row(found: Judged, compared: Compared) -> list[Cell]:
    return [
        *(found.claim.sentence, found.verdict, compared.what, compared.value, f"{compared.side} {compared.bound:g}"),
        *(f"{compared.count} {compared.unit}", shown_p(compared.adjusted_p)),
    ]
