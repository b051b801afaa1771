"""Tables 1 to 17 of the paper: what it reports beside what a run measured, with a verdict for everything comparable."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from bench.report.case_tables import all_cases_table, dense_models_table
from bench.report.comparison import NOT_MEASURED, NOT_RUN, REPRODUCED, Comparison, compare
from bench.report.layouts import LAYOUTS, Layout
from bench.report.lottery import tickets_table
from bench.report.metrics import COUNT, METRICS, RESOURCE, SCORE, SIZE, Metric
from bench.report.significance import shown_p
from bench.report.table import Cell, Quantity, Table
from fixtures.record import Record, Results

Row = Mapping[str, Comparison]
# A resource within this share of the dense model's is the same.
ABOUT_THE_SAME = 0.05
TIMES_DENSE = "x in brackets: times that of the dense model in the same table"
# What ends the key of a row that stands beside the judged one, measured under the other protocol.
BESIDE = " (clean)"
STYLES = {SCORE: "+.3f", SIZE: "+.1%"}


def paper_tables(results: Results, paper: Results | None = None) -> list[Table]:
    """The paper's seventeen tables, every dense model, the lottery tickets where there are some, and all cases.

    Args:
        results: What --results wrote.
        paper: A run under the paper's protocol, for the seventeen tables.
    """
    finite = [record for record in results.cases if not record.not_finite]
    others = (dense_models_table(results), tickets_table(finite), all_cases_table(results))
    return [*compared_tables(results, paper), *(table for table in others if table is not None)]


def compared_tables(results: Results, paper: Results | None = None, *, rows_not_run: bool = True) -> list[Table]:
    """The paper's seventeen tables.

    Args:
        results: What --results wrote.
        paper: A run under the paper's protocol; a row that it has stands before that of `results`, and is the one
            that notes count.
        rows_not_run: Whether rows, and tables, of which nothing was run are there too, each saying why.

    Returns:
        The tables in the paper's order, with keys table-1 to table-17.
    """
    rows: dict[str, dict[str, dict[str, Comparison]]] = {}
    judged = compare(results, paper)
    for comparison, clean in zip(judged, compare(results) if paper else judged, strict=True):
        entry = comparison.entry
        if rows_not_run or comparison.subject is not None:
            rows.setdefault(entry.table, {}).setdefault(entry.row, {})[entry.metric] = comparison
        if clean.subject is not None and clean.protocol != comparison.protocol:
            rows[entry.table].setdefault(f"{entry.row}{BESIDE}", {})[entry.metric] = clean
    machine = "; ".join(_where(run) for run in (results, paper) if run)
    return [_table(layout, rows[layout.number], machine) for layout in LAYOUTS if layout.number in rows]


def _table(layout: Layout, rows: Mapping[str, Row], machine: str) -> Table:
    metrics = {name: comparison.metric for row in rows.values() for name, comparison in row.items()}
    also = [METRICS[name] for name in layout.also]
    headers, styles = ["case"], {}
    for metric in metrics.values():
        parts = _parts(metric)
        headers += [f"{metric.header}, {part}" for part in parts]
        styles |= {f"{metric.header}, {part}": metric.style for part in ("reported", "measured")}
        styles |= {f"{metric.header}, difference": STYLES.get(metric.kind, ""), f"{metric.header}, p": ".2g"}
    headers += [metric.header for metric in also]
    styles |= {metric.header: metric.style for metric in also}
    counted = any(metric.kind == COUNT for metric in metrics.values())
    cells = [_cells(key, metrics, also, rows) for key in rows]
    if counted:
        headers.append("verdict")
        cells = [[*line, _counts_verdict(row)] for line, row in zip(cells, rows.values(), strict=True)]
    title = f"Table {layout.number}: {layout.title}, reported and measured"
    return Table(f"table-{layout.number}", title, headers, cells, [machine, *_notes(layout, rows)], styles)


def _parts(metric: Metric) -> Sequence[str]:
    """The columns of a metric that the paper reports."""
    judged = {SCORE: ("difference", "p", "verdict"), SIZE: ("difference", "verdict")}
    return ("reported", "measured", *judged.get(metric.kind, ()))


def _cells(key: str, metrics: Mapping[str, Metric], also: Sequence[Metric], rows: Mapping[str, Row]) -> list[Cell]:
    row = rows[key]
    first = next(iter(row.values()))
    subject = first.subject
    cells: list[Cell] = [_name(first, key)]
    for name, metric in metrics.items():
        comparison = row.get(name)
        values = {"reported": None, "measured": None} if comparison is None else _values(comparison, rows)
        if comparison is not None and comparison is not first and comparison.verdict == NOT_RUN:
            values["measured"] = None
        cells += [values.get(part) for part in _parts(metric)]
    return [*cells, *(None if subject is None else metric.read(subject) for metric in also)]


def _name(comparison: Comparison, key: str) -> str:
    """The row's name, which variant stands for it, and the protocol where that is the paper's or both are there."""
    row, subject = comparison.entry.row, comparison.subject
    if isinstance(subject, Record) and subject.id != row:
        row = f"{row} ({subject.id.removeprefix(f'{row}.')})"
    return f"{row}, {comparison.protocol}" if key.endswith(BESIDE) or comparison.protocol == "paper" else row


def _values(comparison: Comparison, rows: Mapping[str, Row]) -> dict[str, Cell]:
    """The cells of a comparison by the part of their header."""
    reported, measured = comparison.reported, comparison.measured
    dense = _of_dense(comparison, rows)
    if dense is not None and comparison.known is not None:
        theirs, ours = (_ratio(*pair) for pair in zip(comparison.known, dense, strict=True))
        reported, measured = _with_note(reported, theirs), _with_note(measured, ours)
    if measured is None:
        measured = NOT_MEASURED if comparison.verdict == NOT_MEASURED else comparison.text
    return {
        "reported": reported,
        "measured": measured,
        "difference": comparison.difference,
        "p": shown_p(comparison.adjusted_p),
        "verdict": NOT_RUN if comparison.verdict == NOT_RUN else comparison.text,
    }


def _of_dense(comparison: Comparison, rows: Mapping[str, Row]) -> tuple[float, float] | None:
    """Reported and measured resource of the dense model, which is the first of its model in a table."""
    entry = comparison.entry
    if comparison.metric.kind != RESOURCE or "." in entry.metric:
        return None
    model = ".".join([*entry.row.split(".")[:2], ""])
    # The same row stands there twice where both protocols were run, and each is compared with its own dense model.
    beside = [row for name, row in rows.items() if name.startswith(model)]
    dense = next((d for row in beside if (d := row.get(entry.metric)) and d.protocol == comparison.protocol), None)
    is_dense = dense is None or dense is comparison or not dense.entry.row.endswith((".dense", ".dense.ft", ".l2.r0"))
    return None if is_dense or dense is None else dense.known


def _ratio(value: float, dense: float) -> str:
    return f"{value / dense:.2f}x" if dense else ""


def _with_note(cell: Cell, note: str) -> Cell:
    if not isinstance(cell, int | float):
        return cell
    quantity = cell if isinstance(cell, Quantity) else Quantity(cell)
    joined = ", ".join(part for part in (quantity.note, note) if part)
    return Quantity(quantity, std=quantity.std, interval=quantity.interval, note=joined)


def _counts_verdict(row: Row) -> str:
    """What has to be said of the counts of a row, or that all are reproduced."""
    first = next(iter(row.values()))
    if first.verdict == NOT_RUN:
        return NOT_RUN
    deviating = {
        comparison.metric.header: comparison for comparison in row.values() if comparison.verdict != REPRODUCED
    }
    return "; ".join(f"{name}: {comparison.text}" for name, comparison in deviating.items()) or REPRODUCED


def _where(results: Results) -> str:
    """On what and how everything that is not reported was measured."""
    machine = results.machine
    return (
        f"measured on {machine.get('cpu', 'an unknown processor')} "
        f"({machine.get('instruction_set', 'unknown instructions')}), threads: {machine.get('threads', '?')}; "
        f"protocol {results.protocol}, profile {results.profile}"
    )


def _notes(layout: Layout, rows: Mapping[str, Row]) -> list[str]:
    judged = {key: row for key, row in rows.items() if not key.endswith(BESIDE)}
    comparisons = [comparison for row in judged.values() for comparison in row.values()]
    metrics = dict.fromkeys(comparison.metric for comparison in comparisons)
    resources = [metric for metric in metrics if metric.kind == RESOURCE]
    incomparable: dict[str, list[str]] = {}
    for metric in resources:
        incomparable.setdefault(metric.incomparable, []).append(metric.header)
    against = [note for metric in resources if (note := _against_dense(metric, comparisons, rows))]
    return [
        *(note for metric in metrics if (note := _summary(metric, comparisons))),
        *layout.notes,
        *(f"{', '.join(headers)}: not comparable: {why}" for why, headers in incomparable.items()),
        *([TIMES_DENSE, *against] if against else []),
        *_missing(comparisons),
        *_remarks(comparisons),
    ]


def _summary(metric: Metric, comparisons: Iterable[Comparison]) -> str:
    """How often each verdict was given, and the means over the cases that the paper and the run both have."""
    if metric.kind not in STYLES:
        return ""
    found = [comparison for comparison in comparisons if comparison.metric is metric]
    counts = Counter(comparison.verdict for comparison in found)
    text = f"{metric.header}: " + ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    if both := [comparison.known for comparison in found if comparison.known is not None]:
        theirs, ours = (fmean(values) for values in zip(*both, strict=True))
        cases = f"the {len(both)} cases" if len(both) > 1 else "the case"
        text += f"; mean over {cases} both have: {theirs:{metric.style}} reported, {ours:{metric.style}} measured"
    return text


def _against_dense(metric: Metric, comparisons: Iterable[Comparison], rows: Mapping[str, Row]) -> str:
    """How often a resource is above that of the dense model, as reported and as measured."""
    ratios = [
        (comparison.known[0] / dense[0], comparison.known[1] / dense[1])
        for comparison in comparisons
        if comparison.metric is metric and comparison.known is not None
        if (dense := _of_dense(comparison, rows)) is not None and all(dense)
    ]
    if not ratios:
        return ""
    theirs, ours = (sum(ratio > 1 + ABOUT_THE_SAME for ratio in column) for column in zip(*ratios, strict=True))
    return (
        f"{metric.header}: more than {ABOUT_THE_SAME:.0%} above the dense model in {theirs} of the {len(ratios)} cases "
        f"both have as reported, in {ours} as measured"
    )


def _missing(comparisons: Iterable[Comparison]) -> list[str]:
    """Why values of cases that were run are not there."""
    reasons: dict[tuple[str, str], int] = Counter(
        (comparison.metric.header, comparison.text) for comparison in comparisons if comparison.verdict == NOT_MEASURED
    )
    return [f"{header}: {text} (cases: {count})" for (header, text), count in reasons.items()]


def _remarks(comparisons: Iterable[Comparison]) -> list[str]:
    """What has to be said about single values and is not in their verdict."""
    return [
        f"{c.entry.row}, {c.metric.header}: {c.entry.remark}"
        for c in comparisons
        if c.entry.remark and c.entry.remark not in c.reason and c.metric.kind != COUNT
    ]
