"""What became of every value that the paper prints: counted by table, by reason, and one by one."""

from collections import Counter
from collections.abc import Sequence

from bench.report.comparison import (
    DIFFERS,
    LEAST_SEEDS,
    NOT_COMPARABLE,
    NOT_MEASURED,
    NOT_REPRODUCIBLE,
    NOT_RUN,
    REPRODUCED,
    UNDECIDED,
    Comparison,
)
from bench.report.layouts import LAYOUTS
from bench.report.reported import Reported
from bench.report.significance import shown_p
from bench.report.table import Cell, Table

# In the order in which a reader asks; not comparable cannot be reproduced either.
VERDICTS = (REPRODUCED, DIFFERS, NOT_REPRODUCIBLE, NOT_COMPARABLE, UNDECIDED, NOT_MEASURED, NOT_RUN)
# What the paper prints beside its results: its data, its settings, and what other tables of it have as well.
NO_RESULTS = {"1": "counts of its data", "3": "numbers of parameters", "6": "extremes of Tables 13 and 15"}
SETTINGS = "epochs"
RULE = (
    "reproduced: as far as the seeds can tell, the value is the reported one, and they can tell: a score has "
    f"{LEAST_SEEDS} seeds at least and a mean that is known to within the allowed difference; else it is undecided. "
    "not reproducible: the paper contradicts the value, or its conditions explain it. not comparable: both are of "
    "different things"
)


def is_result(entry: Reported) -> bool:
    """Whether a printed value is a result: no count of the data, no setting, and not printed elsewhere already."""
    return entry.table not in NO_RESULTS and entry.metric != SETTINGS


def verdicts_table(comparisons: Sequence[Comparison]) -> Table:
    """How many values of each table got which verdict."""
    counts = {layout.number: Counter[str]() for layout in LAYOUTS}
    for comparison in comparisons:
        counts[comparison.entry.table][comparison.verdict] += 1
    rows = [[f"{layout.number}: {layout.title}", *_counted(counts[layout.number])] for layout in LAYOUTS]
    rows.append(["all", *_counted(sum(counts.values(), Counter()))])
    notes = [counted(comparisons), RULE]
    return Table("verdicts", "Every value of the paper", ["table", "values", *VERDICTS], rows, notes)


def _counted(counts: Counter[str]) -> list[Cell]:
    return [counts.total(), *(counts[verdict] or None for verdict in VERDICTS)]


def counted(comparisons: Sequence[Comparison]) -> str:
    """How many values the paper prints, and how many of them are results."""
    entries = [comparison.entry for comparison in comparisons]
    results = sum(map(is_result, entries))
    others = Counter(NO_RESULTS.get(entry.table, "epochs") for entry in entries if not is_result(entry))
    named = ", ".join(f"{count} {name}" for name, count in others.items())
    return (
        f"{len(entries):,} values are printed in Tables 1 to 17: {results:,} results, and {len(entries) - results} "
        f"others ({named})"
    )


def reasons_table(comparisons: Sequence[Comparison]) -> Table:
    """Why values differ, cannot be reproduced or are not there: the same reason once, with how many values it has."""
    found: dict[tuple[str, str], list[Comparison]] = {}
    for comparison in comparisons:
        if comparison.verdict not in (REPRODUCED, UNDECIDED):
            found.setdefault((comparison.verdict, comparison.reason), []).append(comparison)
    ordered = sorted(found.items(), key=lambda item: (VERDICTS.index(item[0][0]), -len(item[1])))
    rows = [[verdict, reason, len(of_it), _tables(of_it)] for (verdict, reason), of_it in ordered]
    return Table("reasons", "Why values are not reproduced", ("verdict", "reason", "values", "tables"), rows)


def _tables(comparisons: Sequence[Comparison]) -> str:
    return ", ".join(sorted({comparison.entry.table for comparison in comparisons}, key=int))


def every_value_table(comparisons: Sequence[Comparison]) -> Table:
    """A row for every value that the paper prints."""
    headers = ("table", "row", "value of", "reported", "measured", "difference", "p", "seeds", "protocol", "verdict")
    rows = [
        [
            *(c.entry.table, c.entry.row, c.metric.header, c.reported, c.measured, c.difference, shown_p(c.adjusted_p)),
            *(_seeds(c), c.protocol if c.subject is not None else None, c.text),
        ]
        for c in comparisons
    ]
    # One format for joules, shares and bytes: the tables of the paper have each in its own.
    styles = {"reported": ".6g", "measured": ".4g", "difference": "+.3g", "p": ".2g"}
    return Table("every-value", "Every value of the paper, one by one", headers, rows, [RULE], styles)


def _seeds(comparison: Comparison) -> Cell:
    seeds = getattr(comparison.subject, "seeds", None)
    return None if seeds is None else len(seeds)
