"""What the parts of the results page share."""

from collections.abc import Iterable, Sequence

from tabulate import tabulate

from fixtures.record import Record

DASH = "-"


def section(title: str, headers: Sequence[str], rows: Sequence[Sequence[str]], sentences: Iterable[str]) -> str:
    """A heading, a table, and what follows from it; no text when there is neither a row nor a sentence."""
    table = tabulate(rows, headers=headers, tablefmt="github", disable_numparse=True) if rows else ""
    listed = "\n".join(f"- {sentence}" for sentence in sentences if sentence)
    parts = [part for part in (table, listed) if part]
    return "\n\n".join([f"## {title}", *parts]) if parts else ""


def smaller(record: Record) -> str:
    """How many times smaller the file is than the dense one; the record has the share that remains."""
    return f"{1 / record.size_ratio:.1f}x"


def faster(record: Record) -> str:
    """How many times as fast the model runs as the dense one on our runtime, or a dash where it was not timed."""
    speedup = record.speedup.compression
    return DASH if speedup is None else f"{speedup:.2f}x"


def against_dense(record: Record) -> str:
    """The change of accuracy against the dense model of the same seeds."""
    return f"{0.0 - record.accuracy_drop.mean:+.3f}"


def named(records: Iterable[Record]) -> str:
    """The ids of cases, as code."""
    return ", ".join(f"`{record.id}`" for record in records)


def interval(values: Sequence[float], style: str) -> str:
    """The lowest and the highest value, or the only one."""
    low, high = (format(value, style) for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"
