"""Every value the paper reports beside what a run measured of it, with a verdict; docs/reproduction.md defines it."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial

from bench.matrix import TABLE, TASKS
from bench.report.layouts import BY_NUMBER
from bench.report.metrics import COUNT, METRICS, RESOURCE, SCORE, SIZE, Metric, ratio_in_older_container
from bench.report.reported import Reported, read_all_reported, read_reasons
from bench.report.significance import ALPHA, difference_of_means, half_width, holm
from bench.report.table import Cell, Quantity
from fixtures.record import Data, Record, Results

REPRODUCED, DIFFERS, UNDECIDED = "reproduced", "differs", "undecided"
NOT_REPRODUCIBLE, NOT_COMPARABLE = "not reproducible", "not comparable"
NOT_RUN, NOT_MEASURED = "not run", "not measured"
UNKNOWN = "reason unknown"

CLOSE = 0.02  # a difference of scores that nobody would act on
SIZE_ALLOWANCE = 0.03
LEAST_SEEDS = 3  # of fewer nobody can say how much they scatter

SPARSITY = re.compile(r"\.s0\.(\d)")
SEEDS = {known.case.id: known.seeds for known in TABLE}

Subject = Record | Data | tuple[Record, ...]


@dataclass(frozen=True)
class Comparison:
    """A reported value, what was measured of it, and what may be said of both.

    `p` is of the difference alone, `adjusted_p` by Holm's procedure over all scores of the run. `protocol` is the one
    under which it was measured.
    """

    entry: Reported
    metric: Metric
    subject: Subject | None
    protocol: str = "clean"
    measured: Cell = None
    difference: Quantity | None = None
    p: float | None = None
    adjusted_p: float | None = None
    verdict: str = ""
    reason: str = ""

    @property
    def reported(self) -> Cell:
        """The reported value with its deviation, or what is printed in its place."""
        if self.entry.value is None:
            return self.entry.text
        return Quantity(self.entry.value, std=self.entry.std, note=self.entry.text)

    @property
    def text(self) -> str:
        """The verdict with its reason."""
        return f"{self.verdict}: {self.reason}" if self.reason else self.verdict

    @property
    def known(self) -> tuple[float, float] | None:
        """The reported and the measured number; None where one of them is none."""
        if self.entry.value is None or not isinstance(self.measured, int | float):
            return None
        return self.entry.value, float(self.measured)


def compare(results: Results, paper: Results | None = None) -> list[Comparison]:
    """Compare everything the paper reports, in its order, with a run.

    Args:
        results: What --results wrote.
        paper: A run under the paper's protocol. A case whose data or split is another one there stands for a reported
            value instead of the one of `results`, because the paper's number was made so.

    Returns:
        One comparison for every reported value, also where nothing was measured.
    """
    by_id = _finite_by_id(results.cases)
    apart = _finite_by_id(case for case in paper.cases if case.protocol == paper.protocol) if paper else {}
    found, runs = [], []
    for entry in read_all_reported():
        subject = _subject(entry, {}, apart)
        runs.append(results if subject is None or paper is None else paper)
        subject = _subject(entry, results.data, by_id) if subject is None else subject
        found.append(_measured(entry, subject, runs[-1].protocol))
    places = [place for place, comparison in enumerate(found) if comparison.p is not None]
    adjusted = holm([p for comparison in found if (p := comparison.p) is not None])
    for place, p in zip(places, adjusted, strict=True):
        found[place] = replace(found[place], adjusted_p=p)
    judged = [_judged(comparison, run) for comparison, run in zip(found, runs, strict=True)]
    return judged if paper is None else list(map(_told_of_clean, judged, compare(results)))


def _told_of_clean(comparison: Comparison, clean: Comparison) -> Comparison:
    """A comparison under the paper's protocol, whose reason says so where the clean one has the value."""
    if comparison.protocol == clean.protocol or comparison.verdict == REPRODUCED or clean.verdict != REPRODUCED:
        return comparison
    return replace(comparison, reason=f"{comparison.reason}; the clean protocol reproduces it")


def _finite_by_id(records: Iterable[Record]) -> dict[str, Record]:
    return {record.id: record for record in records if not record.not_finite}


def chosen_variant(cases: Sequence[Record]) -> Record | None:
    """The case with the lowest validation loss; None when none has one."""
    judged = [(case.validation_loss, case) for case in cases if case.validation_loss is not None]
    return min(judged, key=lambda pair: pair[0])[1] if judged else None


@cache
def cases_of(row: str) -> dict[str, Mapping[str, int]]:
    """The seeds by profile of the cases that a reported row stands for: one, or those whose ids begin with it."""
    if row in SEEDS:
        return {row: SEEDS[row]}
    return {name: seeds for name, seeds in SEEDS.items() if name.startswith(f"{row}.")}


def _measured(entry: Reported, subject: Subject | None, protocol: str) -> Comparison:
    layout = BY_NUMBER[entry.table]
    metric = METRICS[layout.beside.get(entry.metric, entry.metric)]
    comparison = Comparison(entry, metric, subject, protocol, None if subject is None else metric.read(subject))
    if comparison.known is None:
        return comparison
    reported, value = comparison.known
    if metric.kind == SCORE and isinstance(subject, Record):
        if subject.accuracy.std is None:
            return replace(comparison, difference=Quantity(value - reported))
        ours = value, subject.accuracy.std, len(subject.seeds)
        difference, p = difference_of_means(ours, (reported, entry.std), layout.rounding)
        return replace(comparison, difference=difference, p=p)
    return replace(comparison, difference=Quantity(value / reported - 1 if metric.kind == SIZE else value - reported))


def _subject(entry: Reported, data: Mapping[str, Data], by_id: Mapping[str, Record]) -> Subject | None:
    """What a row of the paper is in a run: a task, a case, the chosen one of several variants, or cases together."""
    if entry.row in TASKS:
        return data.get(entry.row)
    if entry.row in by_id:
        return by_id[entry.row]
    cases = [by_id[name] for name in cases_of(entry.row) if name in by_id]
    if "." not in entry.metric:
        return chosen_variant(cases)
    plain = [case for case in cases if f"{case.case_model}.{case.method}" == entry.row and not case.fine_tuned]
    dense = by_id.get(f"{entry.row.rpartition('.')[0]}.dense")
    alone = [case for case in plain if case.precision == "fp32"]
    return (*alone, *([dense] if dense else [])) if alone else None


def _judged(comparison: Comparison, results: Results) -> Comparison:
    """The same comparison with its verdict."""
    entry, metric = comparison.entry, comparison.metric
    if comparison.subject is None:
        verdict = NOT_RUN, _why_not_run(entry.row, results)
    elif comparison.measured is None:
        verdict = NOT_MEASURED, _why_not_measured(comparison.subject, metric)
    elif comparison.known is None:
        verdict = (NOT_REPRODUCIBLE, entry.remark) if entry.remark else (NOT_COMPARABLE, "the paper prints no number")
    elif metric.kind == RESOURCE:
        verdict = NOT_COMPARABLE, metric.incomparable
    else:
        judges: dict[str, Callable[[Comparison], tuple[str, str]]] = {
            SCORE: partial(_score_verdict, protocol=results.protocol),
            SIZE: _size_verdict,
            COUNT: _count_verdict,
        }
        verdict = judges[metric.kind](comparison)
    return replace(comparison, verdict=verdict[0], reason=verdict[1])


def _why_not_run(row: str, results: Results) -> str:
    if row in TASKS:
        return "no case of this task was run"
    cases = cases_of(row)
    if not any(results.profile in seeds for seeds in cases.values()):
        return f"profile {results.profile} leaves it out"
    if any(record.id in cases and record.not_finite for record in results.cases):
        return "its values are not finite"
    return "it is not among the cases of this run"


def _why_not_measured(subject: Subject, metric: Metric) -> str:
    first = subject[0] if isinstance(subject, tuple) else subject
    if not isinstance(first, Record):
        return "this run wrote none"
    path = metric.path
    while path:
        if reason := first.not_applicable.get(path):
            return reason
        path = path.rpartition(".")[0]
    measured = getattr(first, metric.path.partition(".")[0], None)
    return getattr(measured, "reason", None) or "this run recorded none"


def _score_verdict(comparison: Comparison, protocol: str) -> tuple[str, str]:
    difference, p, adjusted, record = comparison.difference, comparison.p, comparison.adjusted_p, comparison.subject
    seeds = len(record.seeds) if isinstance(record, Record) else 0
    if difference is None or p is None or adjusted is None or not isinstance(record, Record) or seeds < LEAST_SEEDS:
        return UNDECIDED, "one seed" if seeds <= 1 else f"{seeds} seeds, and {LEAST_SEEDS} at least are needed"
    spread = allowed_difference(comparison.entry)
    if p >= ALPHA and abs(difference) <= spread:
        known_to = half_width(record.accuracy.std or 0.0, seeds)
        few = f"the mean of {seeds} seeds is known to within {known_to:.3f}, and {spread:.3f} is needed"
        return (REPRODUCED, "") if known_to <= spread else (UNDECIDED, few)
    known = next((r for r in read_reasons() if r.concerns(comparison.entry, protocol, difference)), None)
    if known and (adjusted < ALPHA or known.verdict == NOT_REPRODUCIBLE):
        return known.verdict, known.reason
    if adjusted < ALPHA:
        elsewhere = _contradiction(comparison, spread)
        return (NOT_REPRODUCIBLE, elsewhere) if elsewhere else (DIFFERS, _emptied(comparison) or UNKNOWN)
    return UNDECIDED, f"with {seeds} seeds p is {p:.2g}, and {adjusted:.2g} among all scores of this run"


def allowed_difference(entry: Reported) -> float:
    """How far a mean may be from a reported one and be the same: `CLOSE` or its deviation, and the rounding."""
    return max(CLOSE, entry.std or 0.0) + BY_NUMBER[entry.table].rounding


@cache
def _printed(row: str, metric: str) -> list[Reported]:
    """What all tables of the paper have of the same."""
    return [entry for entry in read_all_reported() if (entry.row, entry.metric) == (row, metric)]


def _contradiction(comparison: Comparison, allowed: float) -> str:
    """Another value that the paper prints of the same model, beyond both deviations, where that was measured."""
    entry, (reported, measured) = comparison.entry, comparison.known or (0.0, 0.0)
    others = [(abs(other.value - measured), other) for other in _printed(entry.row, entry.metric) if other.value]
    distance, other = min(others, key=lambda pair: pair[0])
    apart = abs(reported - (other.value or 0.0)) > (entry.std or 0.0) + (other.std or 0.0) + 1e-9
    if not apart or distance > min(allowed, 0.5 * abs(reported - measured)):
        return ""
    return f"Table {other.table} has {other.formatted('.2f')} for the same model"


def _emptied(comparison: Comparison) -> str:
    """The layers that the record shows to be empty, where that may be why a value is lower than the reported one."""
    subject = comparison.subject
    if not isinstance(subject, Record) or comparison.difference is None or comparison.difference > 0:
        return ""
    empty = [layer for layer, sparsity in subject.layer_sparsity.items() if sparsity == 1.0]
    return f"nothing is left of {', '.join(empty)} here" if empty else ""


def _size_verdict(comparison: Comparison) -> tuple[str, str]:
    reported, measured = comparison.known or (0.0, 0.0)
    allowed = SIZE_ALLOWANCE * reported + BY_NUMBER[comparison.entry.table].rounding
    if abs(measured - reported) <= allowed:
        return REPRODUCED, ""
    record = comparison.subject
    older = ratio_in_older_container(record) if isinstance(record, Record) else measured
    if abs(older - reported) <= allowed:
        return DIFFERS, "torch.save writes more beside the values than that of torch 2.0.1"
    if elsewhere := _contradiction(comparison, allowed) or _other_zeros(comparison.entry, (measured, older), allowed):
        return NOT_REPRODUCIBLE, elsewhere
    empty = _emptied(comparison)
    return DIFFERS, f"{empty}, so Algorithm 1 keeps it whole" if empty else UNKNOWN


def _other_zeros(entry: Reported, ours: Sequence[float], allowed: float) -> str:
    """A ratio that the paper prints of the same model with as many zeros or fewer, and that rules this one out."""
    reported, share = entry.value or 0.0, SPARSITY.search(entry.row)
    twin = entry.row.removesuffix(".ft") if entry.row.endswith(".ft") else f"{entry.row}.ft"
    for other in _printed(twin, entry.metric):
        distance = min(abs((other.value or 0.0) - one) for one in ours)
        if distance <= min(allowed, 0.5 * abs(reported - ours[0])):
            trained = "fine-tuned" if twin.endswith(".ft") else "not fine-tuned"
            return f"Table {other.table} has {other.formatted('.2f')} for the same model {trained}, with as many zeros"
    for fewer in reversed(range(1, int(share[1]))) if share and reported < min(ours) else ():
        for other in _printed(SPARSITY.sub(f".s0.{fewer}", entry.row), entry.metric):
            if (other.value or 0.0) > reported + allowed:
                return f"Table {other.table} has {other.formatted('.2f')} already at sparsity 0.{fewer}"
    return ""


def _count_verdict(comparison: Comparison) -> tuple[str, str]:
    return (DIFFERS, comparison.entry.remark or UNKNOWN) if comparison.difference else (REPRODUCED, "")
