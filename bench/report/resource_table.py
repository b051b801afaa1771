"""Table 6 of the paper: the extremes of memory, energy and processor use over the sparsities."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.report.columns import Record, Records, energy_j, titled
from bench.report.reported import Reported

NUMBER = "6"
RESOURCES_DIFFER = (
    "the paper's figures are of its whole machine while something ran for seconds; ours are CPU of this process and "
    "its children, and the peak memory of a fresh process that holds this case alone, imports included"
)
ENERGIES_DIFFER = (
    "the paper prints one energy, ours are two: energy J is that of one pass over the test part, training energy J "
    "that of all training that led to the model. Each has its source: nvml (the GPU board), rapl (the processor "
    "packages), or an estimate, which is CPU time at a nominal power and no measurement"
)
UNTRAINED = (
    "training energy: without fine-tuning nothing is trained after the dense model, so every sparsity has the training "
    "of the dense model"
)
SHIFTED = (
    "for global pruning the paper's extremes stand one sparsity lower in its own Table 13, and its dense memory "
    "and CPU at 0.9; for fine-grained pruning everything is as in Table 15"
)


@dataclass(frozen=True)
class Resource:
    """A resource with the format of its values; the paper has nothing for one without a metric."""

    metric: str
    title: str
    style: str
    measured: Callable[[Record], tuple[float, str] | None]  # with its source, if there are several


@dataclass(frozen=True, order=True)
class _Measured:
    value: float
    sparsity: float | None
    source: str

    def text(self, style: str) -> str:
        """The value, and in brackets the sparsity and the source it has."""
        origin = [*([] if self.sparsity is None else [f"{self.sparsity:g}"]), *([self.source] if self.source else [])]
        return f"{self.value:{style}}" + (f" ({', '.join(origin)})" if origin else "")


def _of_one_source(value: float | None, factor: float = 1.0) -> tuple[float, str] | None:
    return None if value is None else (value * factor, "")


RESOURCES = (
    Resource("memory_mb", "memory MB", ",.0f", lambda r: _of_one_source(r["memory_bytes"]["peak_rss"], 1e-6)),
    Resource("energy_j", "energy J", ".3g", lambda r: energy_j(r, "energy_j")),
    Resource("", "training energy J", ",.5g", lambda r: energy_j(r, "training_energy_j")),
    Resource("cpu_percent", "CPU %", ".3g", lambda r: _of_one_source(r["cpu_percent"])),
)


def resource_table(reported: Sequence[Reported], by_id: Records) -> str:
    """One row per model, method and resource of which a pruned case was measured; no text when none was."""
    printed = {(entry.row, entry.metric): entry for entry in reported if entry.table == NUMBER}
    rows = []
    for group in dict.fromkeys(group for group, _ in printed):
        for resource in RESOURCES:
            found = _measured(group, by_id, resource)
            if found:
                extremes = {"max": max(found), "min": min(found), "base": _base(group, by_id, resource)}
                entries = (printed.get((group, f"{resource.metric}.{kind}")) for kind in extremes)
                cells = map(_cell, entries, extremes.values(), [resource.style] * len(extremes))
                rows.append([group, resource.title, *cells])
    if not rows:
        return ""
    headers = ["", "", "max (sparsity)", "min (sparsity)", "dense"]
    title = "extremes over the sparsities without fine-tuning, reported / measured"
    return titled(NUMBER, title, headers, rows, [SHIFTED, RESOURCES_DIFFER, ENERGIES_DIFFER, UNTRAINED])


def _measured(group: str, by_id: Records, resource: Resource) -> list[_Measured]:
    found = []
    for case_id, record in by_id.items():
        sparsity = case_id.removeprefix(f"{group}.s")
        measured = resource.measured(record)
        if sparsity != case_id and sparsity.removeprefix("0.").isdigit() and measured is not None:
            value, source = measured
            found.append(_Measured(value, float(sparsity), source))
    return found


def _base(group: str, by_id: Records, resource: Resource) -> _Measured | None:
    dense = by_id.get(f"{group.rpartition('.')[0]}.dense")
    measured = None if dense is None else resource.measured(dense)
    return None if measured is None else _Measured(measured[0], None, measured[1])


def _cell(entry: Reported | None, measured: _Measured | None, style: str) -> str:
    ours = "-" if measured is None else measured.text(style)
    if entry is None:
        return ours
    return f"{entry.value:{style}}" + (f" ({entry.text})" if entry.text else "") + f" / {ours}"
