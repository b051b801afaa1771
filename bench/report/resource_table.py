"""Table 6 of the paper: the extremes of memory, energy and processor use over the sparsities."""

from collections.abc import Callable, Sequence

from bench.report.columns import Record, Records, titled
from bench.report.reported import Reported

NUMBER = "6"
RESOURCES_DIFFER = (
    "the paper's figures are of its whole machine while something ran for seconds; ours are joules per pass over the "
    "test part (an estimate comes from CPU time), CPU of this process, and its peak memory since it started, earlier "
    "cases included"
)
SHIFTED = (
    "for global pruning the paper's extremes stand one sparsity lower in its own Table 13, and its dense memory "
    "and CPU at 0.9; for fine-grained pruning everything is as in Table 15"
)
# The metric's name in the data file, its title, the format of a value, and its measured value.
RESOURCES: tuple[tuple[str, str, str, Callable[[Record], float | None]], ...] = (
    ("memory_mb", "memory MB", ",.0f", lambda record: _scaled(record["memory_bytes"]["peak_rss"], 1e-6)),
    ("energy_j", "energy J", ".3g", lambda record: record["energy_j"]["value"]),
    ("cpu_percent", "CPU %", ".3g", lambda record: record["cpu_percent"]),
)


def resource_table(reported: Sequence[Reported], by_id: Records) -> str:
    """One row per model, method and resource of which a pruned case was measured; no text when none was."""
    printed = {(entry.row, entry.metric): entry for entry in reported if entry.table == NUMBER}
    rows = []
    for group in dict.fromkeys(group for group, _ in printed):
        for name, title, style, measured in RESOURCES:
            found = _measured(group, by_id, measured)
            if found:
                extremes = (max(found), min(found), (_base(group, by_id, measured), None))
                kinds = zip(("max", "min", "base"), extremes, strict=True)
                cells = (_cell(printed[group, f"{name}.{kind}"], at, style) for kind, at in kinds)
                rows.append([group, title, *cells])
    if not rows:
        return ""
    headers = ["", "", "max (sparsity)", "min (sparsity)", "dense"]
    title = "extremes over the sparsities without fine-tuning, reported / measured"
    return titled(NUMBER, title, headers, rows, [SHIFTED, RESOURCES_DIFFER])


def _measured(group: str, by_id: Records, measured: Callable[[Record], float | None]) -> list[tuple[float, float]]:
    """Values with their sparsities."""
    found = []
    for case_id, record in by_id.items():
        sparsity = case_id.removeprefix(f"{group}.s")
        value = measured(record)
        if sparsity != case_id and sparsity.removeprefix("0.").isdigit() and value is not None:
            found.append((value, float(sparsity)))
    return found


def _base(group: str, by_id: Records, measured: Callable[[Record], float | None]) -> float | None:
    dense = by_id.get(f"{group.rpartition('.')[0]}.dense")
    return None if dense is None else measured(dense)


def _cell(entry: Reported, measured: tuple[float | None, float | None], style: str) -> str:
    value, sparsity = measured
    printed = f"{entry.value:{style}}" + (f" ({entry.text})" if entry.text else "")
    ours = "-" if value is None else f"{value:{style}}" + ("" if sparsity is None else f" ({sparsity:g})")
    return f"{printed} / {ours}"


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor
