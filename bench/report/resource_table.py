"""Table 6 of the paper: the extremes of memory, energy and processor use over the sparsities."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.report.columns import Records, titled
from bench.report.reported import Reported
from fixtures.record import Record

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


def _value(value: float | None, source: str = "", factor: float = 1.0) -> tuple[float, str] | None:
    return None if value is None else (value * factor, source)


RESOURCES = (
    Resource("memory_mb", "memory MB", ",.0f", lambda r: _value(r.memory_bytes.peak_rss, factor=1e-6)),
    Resource("energy_j", "energy J", ".3g", lambda r: _value(r.energy_j.value, r.energy_j.source)),
    Resource("", "training energy J", ",.5g", lambda r: _value(r.training_energy_j.value, r.training_energy_j.source)),
    Resource("cpu_percent", "CPU %", ".3g", lambda r: _value(r.cpu_percent)),
)


def resource_table(reported: Sequence[Reported], by_id: Records) -> str:
    """One row per model, method and resource of which a pruned case was measured; no text when none was."""
    printed = {(entry.row, entry.metric): entry for entry in reported if entry.table == NUMBER}
    rows = []
    for group in dict.fromkeys(group for group, _ in printed):
        plain = [record for record in by_id.values() if record.precision == "fp32" and not record.fine_tuned]
        cases = [record for record in plain if f"{record.case_model}.{record.method}" == group]
        for resource in RESOURCES:
            found = [measured for case in cases if (measured := _measured(case, resource))]
            if found:
                dense = by_id.get(f"{cases[0].case_model}.dense")
                extremes = {"max": max(found), "min": min(found), "base": dense and _measured(dense, resource)}
                entries = (printed.get((group, f"{resource.metric}.{kind}")) for kind in extremes)
                cells = map(_cell, entries, extremes.values(), [resource.style] * len(extremes))
                rows.append([group, resource.title, *cells])
    if not rows:
        return ""
    headers = ["", "", "max (sparsity)", "min (sparsity)", "dense"]
    title = "extremes over the sparsities without fine-tuning, reported / measured"
    return titled(NUMBER, title, headers, rows, [SHIFTED, RESOURCES_DIFFER, ENERGIES_DIFFER, UNTRAINED])


def _measured(record: Record, resource: Resource) -> _Measured | None:
    found = resource.measured(record)
    return found and _Measured(found[0], record.settings.get("sparsity"), found[1])


def _cell(entry: Reported | None, measured: _Measured | None, style: str) -> str:
    ours = "-" if measured is None else measured.text(style)
    if entry is None:
        return ours
    return f"{entry.value:{style}}" + (f" ({entry.text})" if entry.text else "") + f" / {ours}"
