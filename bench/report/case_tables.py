"""Tables of everything that a run measured, whether the paper has it or not, and what the numbers say together."""

from collections.abc import Callable, Iterable, Sequence
from statistics import median

from bench.report.metrics import joules, scaled, scores
from bench.report.pareto import command
from bench.report.reported import read_reported
from bench.report.table import Quantity, Table
from fixtures.record import Record, Results

UNSTRUCTURED = ("global", "fine-grained", "gradual", "layer-adaptive", "sensitivity")
SCAFFOLD, RANDOM = "bbbp-scaffold", "bbbp"
STYLES = {
    "accuracy": ".3f",
    "most frequent class": ".3f",
    "drop": "+.3f",
    "bytes": ",.0f",
    "inference ms": ",.3g",
    "x eager": ".1f",
    "speed-up": ".2f",
    "energy J": ",.3g",
    "training energy J": ",.4g",
    "training CPU-s": ",.1f",
    "memory MB": ",.0f",
    "parameters": ",.0f",
}
LEGEND = (
    "accuracy is the task's score, ROC-AUC for links, of the model that was read back from its file; drop is against "
    "the dense model of the same seeds, with its paired 95% interval. Bytes are of the decodable file, x is how many "
    "times smaller than the dense one. Inference is one pass over the test part, the speed-up against the dense model "
    "on our FP32 runtime with its 95% interval. Energy has its source in brackets; an estimate is CPU time at a "
    "nominal power and no measurement. A dash was not measured: records say why under not_applicable"
)


def dense_models_table(results: Results) -> Table | None:
    """Every dense model of a run; None when it has none."""
    dense = [r for r in _finite(results) if r.method == "dense" and not r.fine_tuned and r.precision == "fp32"]
    if not dense:
        return None
    headers = ("case", "accuracy", "most frequent class", "parameters", "training CPU-s", "inference ms", "x eager")
    rows = [
        [
            record.id,
            scores(record.accuracy),
            _class_alone(record),
            record.parameters,
            record.training_s,
            scaled(record.latency_s.compressed, 1e3),
            record.speedup.runtime,
        ]
        for record in dense
    ]
    notes = [note for fact in (_below_majority, _scaffold, _runtime) if (note := fact(dense))]
    return Table("dense-models", "Every dense model", headers, rows, notes, STYLES)


def all_cases_table(results: Results) -> Table:
    """One row for each case, with the command that reproduces it."""
    headers = (
        *("case", "seeds", "accuracy", "drop", "bytes", "inference ms", "speed-up", "energy J", "training energy J"),
        *("memory MB", "gate", "command"),
    )
    records = _finite(results)
    facts = (_losses, _unstructured, _structured, _stored, _integers, _majority_only)
    rows = [
        [
            record.id,
            len(record.seeds),
            scores(record.accuracy),
            Quantity(record.accuracy_drop.mean, interval=record.accuracy_drop.ci95),
            Quantity(record.size_bytes.encoded, note=f"{1 / record.size_ratio:.1f}x"),
            scaled(record.latency_s.compressed, 1e3),
            _speedup(record),
            joules(record.energy_j),
            joules(record.training_energy_j),
            scaled(record.memory_bytes.peak_rss, 1e-6),
            record.gate.status,
            command(record, results),
        ]
        for record in records
    ]
    notes = [LEGEND, *_not_finite(results), *(note for fact in facts if (note := fact(records)))]
    return Table("all-cases", "All cases", headers, rows, notes, STYLES)


def _finite(results: Results) -> list[Record]:
    return [record for record in results.cases if not record.not_finite]


def _not_finite(results: Results) -> list[str]:
    found = [record.id for record in results.cases if record.not_finite]
    return [f"left out, for values that are not finite: {', '.join(found)}"] if found else []


def _class_alone(record: Record) -> float | None:
    found = record.other_scores.get("majority_class")
    return found and found.mean


def _speedup(record: Record) -> Quantity | None:
    ratio = record.speedup.compression
    return None if ratio is None else Quantity(ratio, interval=record.speedup.compression_ci95)


def _named(records: Iterable[Record]) -> str:
    return ", ".join(record.id for record in records) or "none"


def _range(values: Sequence[float], style: str) -> str:
    low, high = (format(value, style) for value in (min(values), max(values)))
    return low if low == high else f"{low} to {high}"


def _below_majority(dense: Sequence[Record]) -> str:
    """Which models the paper reports no better than always giving the most frequent class."""
    reported = {entry.row: entry.value for entry in read_reported() if entry.metric == "accuracy"}
    judged = [(r.id, value, share) for r in dense if (share := _class_alone(r)) and (value := reported.get(r.id))]
    low = [f"{case} ({value:.2f}, the class alone {share:.3f})" for case, value, share in judged if value <= share]
    if not judged:
        return ""
    return (
        f"{len(low)} of {len(judged)} graph classifiers are reported (Table 4) no better than always giving the most "
        f"frequent class of our test parts: {', '.join(low) or 'none'}"
    )


def _scaffold(dense: Sequence[Record]) -> str:
    """What a split by scaffold costs, for the models that were trained with both splits."""
    by_model = {record.case_model: record for record in dense}
    return "; ".join(
        f"where molecules of one scaffold stay together, {apart.model} has {apart.accuracy.mean:.3f}, with random "
        f"splits {random.accuracy.mean:.3f}"
        for apart in dense
        if apart.task.endswith(SCAFFOLD) and (random := by_model.get(apart.case_model.replace(SCAFFOLD, RANDOM)))
    )


def _runtime(dense: Sequence[Record]) -> str:
    found = [record.speedup.runtime for record in dense if record.speedup.runtime is not None]
    if not found:
        return ""
    return (
        f"x eager: our FP32 runtime is {_range(found, '.1f')} times as fast as plain eager PyTorch ({len(found)} of "
        f"{len(dense)} models have one). Nothing is compressed in that, and no other table counts it"
    )


def _losses(records: Sequence[Record]) -> str:
    """How many pruned and fine-tuned models lost or gained accuracy for certain."""
    judged = [
        (record, record.accuracy_drop.ci95)
        for record in records
        if record.method in (*UNSTRUCTURED, "structured") and record.fine_tuned and record.precision == "fp32"
        if record.accuracy_drop.ci95
    ]
    worse = [record for record, (low, _) in judged if low > 0]
    better = [record for record, (_, high) in judged if high < 0]
    if not judged:
        return ""
    return (
        f"by the interval of the drop, not corrected for their number, {len(worse)} of {len(judged)} pruned and "
        f"fine-tuned models are less accurate than the dense one ({_named(worse)}) and {len(better)} more "
        f"({_named(better)}); for the others the seeds decide nothing"
    )


def _timed(records: Sequence[Record], title: str, of_kind: Callable[[Record], bool]) -> str:
    ratios = [r for record in records if of_kind(record) and (r := record.speedup.compression) is not None]
    if not ratios:
        return ""
    return (
        f"{title}: {median(ratios):.2f} times as fast as dense in the median ({_range(ratios, '.2f')}; timed cases: "
        f"{len(ratios)})"
    )


def _unstructured(records: Sequence[Record]) -> str:
    return _timed(records, "pruning single weights", lambda record: record.method in UNSTRUCTURED)


def _structured(records: Sequence[Record]) -> str:
    return _timed(records, "removing channels", lambda record: record.method == "structured")


def _stored(records: Sequence[Record]) -> str:
    """What storing in fewer bits adds to cases that are there in FP32 too."""
    in_fp32 = {_but_for_precision(record): record for record in records if record.precision == "fp32"}
    pairs = [(r, in_fp32.get(_but_for_precision(r))) for r in records if r.precision != "fp32"]
    parts = []
    for kind in sorted({record.precision for record, _ in pairs}):
        of_kind = [(record, twin) for record, twin in pairs if record.precision == kind and twin is not None]
        if of_kind:
            sizes = [twin.size_ratio / record.size_ratio for record, twin in of_kind]
            changes = [record.accuracy.mean - twin.accuracy.mean for record, twin in of_kind]
            parts.append(
                f"{kind.upper()} {_range(sizes, '.1f')} times smaller, accuracy {_range(changes, '+.3f')} "
                f"(cases: {len(of_kind)})"
            )
    return f"stored in fewer bits than FP32: {'; '.join(parts)}" if parts else ""


def _but_for_precision(record: Record) -> tuple[str, str, str]:
    return record.case_model, record.method, str({**record.settings, "precision": None})


def _integers(records: Sequence[Record]) -> str:
    """Whether integers say what was simulated."""
    agreements = [found for record in records if (found := record.integer_agreement)]
    if not agreements:
        return ""
    same = sum(agreement.classes == 1 for agreement in agreements)
    speeds = _timed(records, "on integers", lambda record: record.integer_agreement is not None)
    return (
        f"{same} of {len(agreements)} models on integers give every test input the class of their simulation; "
        f"{min(agreement.identical for agreement in agreements):.1%} of the logits at least have the same bits"
    ) + (f"; {speeds}" if speeds else "")


def _majority_only(records: Sequence[Record]) -> str:
    judged = [record for record in records if record.collapsed is not None]
    found = [record for record in judged if record.collapsed]
    if not judged:
        return ""
    return (
        f"{len(found)} of {len(judged)} graph classifiers are no better than always giving the most frequent class: "
        f"{_named(found)}"
    )
