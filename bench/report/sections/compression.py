"""What pruning and storing in fewer bits bought."""

from collections.abc import Callable, Iterable, Sequence
from statistics import median

from bench.report.columns import Records, mean_and_deviation
from bench.report.sections.markdown import DASH, against_dense, faster, interval, named, section, smaller
from fixtures.record import Record

UNSTRUCTURED = ("global", "fine-grained", "gradual", "layer-adaptive", "sensitivity")
PRUNING = (*UNSTRUCTURED, "structured")
# The method in a case id; {} is the sparsity.
COLUMNS = {
    "global": "global.s{}.ft",
    "gradual": "gradual.s{}.ft",
    "layer-adaptive": "layer-adaptive.s{}.ft",
    "structured": "structured.s{}.ft",
    "global, stored in INT8": "global.s{}.stored-int8.ft",
    "global, stored in INT4": "global.s{}.stored-int4.ft",
}
HEADERS = ("model", "sparsity", "dense", *COLUMNS)
LEGEND = (
    "Pruned models are fine-tuned. A cell has the accuracy, its change against the dense model of the same seeds, how "
    "many times smaller the file is than the dense one, and how many times as fast the model runs as the dense one; "
    "models that are stored in fewer bits run as FP32 and are not timed again."
)


def compression_section(by_id: Records) -> str:
    """One row per pruned model and sparsity, and what the numbers say together."""
    found = sorted(
        {
            (record.case_model, sparsity)
            for record in by_id.values()
            if (sparsity := f"{record.settings.get('sparsity', 0):g}")
            if record.method_id in {rest.format(sparsity) for rest in COLUMNS.values()}
        }
    )
    rows = [_row(model, sparsity, by_id) for model, sparsity in found]
    pruned = [record for record in by_id.values() if record.method in PRUNING]
    sentences = [LEGEND if rows else "", *_speedups(pruned), _losses(pruned), _collapsed(pruned), *_stored(by_id)]
    return section("What compression really buys", HEADERS, rows, sentences)


def _row(model: str, sparsity: str, by_id: Records) -> list[str]:
    dense = by_id.get(f"{model}.dense")
    cells = (_cell(by_id.get(f"{model}.{rest.format(sparsity)}")) for rest in COLUMNS.values())
    return [model, sparsity, DASH if dense is None else mean_and_deviation(dense.accuracy), *cells]


def _cell(record: Record | None) -> str:
    if record is None:
        return DASH
    texts = [f"{mean_and_deviation(record.accuracy)} ({against_dense(record)})", f"{smaller(record)} smaller"]
    if record.speedup.compression is not None:
        texts.append(f"{faster(record)} faster")
    return ", ".join(texts)


def _speedups(pruned: Iterable[Record]) -> list[str]:
    """Whether removing single weights saves time, and whether removing channels does."""
    timed = [(record, ratio) for record in pruned if (ratio := record.speedup.compression) is not None]
    kinds: dict[str, Callable[[Record], bool]] = {
        "Unstructured pruning": lambda record: record.method in UNSTRUCTURED,
        "Structured pruning": lambda record: record.method == "structured",
    }
    found = {kind: [ratio for record, ratio in timed if of_kind(record)] for kind, of_kind in kinds.items()}
    return [
        f"{kind} makes models {median(ratios):.2f} times as fast in the median ({interval(ratios, '.2f')}; timed "
        f"cases: {len(ratios)})."
        for kind, ratios in found.items()
        if ratios
    ]


def _losses(pruned: Iterable[Record]) -> str:
    """How many fine-tuned models lost or gained accuracy for certain."""
    tuned = [record for record in pruned if record.fine_tuned and record.precision == "fp32"]
    judged = [(record, record.accuracy_drop.ci95) for record in tuned if record.accuracy_drop.ci95]
    if not judged:
        return ""
    worse = [record for record, (low, _) in judged if low > 0]
    better = [record for record, (_, high) in judged if high < 0]
    return (
        f"By the paired 95% interval over the seeds, {len(worse)} of {len(judged)} pruned and fine-tuned models are "
        f"less accurate than the dense one and {len(better)} more; for the others the seeds decide nothing. Less "
        f"accurate: {named(worse) or 'none'}."
    )


def _collapsed(pruned: Sequence[Record]) -> str:
    """Which pruned models give the most frequent class and nothing else."""
    judged = [record for record in pruned if record.collapsed is not None]
    found = [record for record in judged if record.collapsed]
    if not judged:
        return ""
    return (
        f"{len(found)} of {len(judged)} pruned graph classifiers are no better than always giving the most frequent "
        f"class{': ' if found else ''}{named(found)}."
    )


def _stored(by_id: Records) -> list[str]:
    """What storing in fewer bits adds to cases that are in the file in FP32 too."""
    in_fp32 = {_without_precision(record): record for record in by_id.values() if record.precision == "fp32"}
    stored = [record for record in by_id.values() if record.precision != "fp32"]
    pairs = [(record, twin) for record in stored if (twin := in_fp32.get(_without_precision(record)))]
    sentences = []
    for kind in sorted({record.precision for record, _ in pairs}):
        of_kind = [(record, twin) for record, twin in pairs if record.precision == kind]
        sizes = [twin.size_ratio / record.size_ratio for record, twin in of_kind]
        changes = [record.accuracy.mean - twin.accuracy.mean for record, twin in of_kind]
        sentences.append(
            f"Stored in {kind.upper()} instead of FP32, a file is {interval(sizes, '.1f')} times smaller, and the "
            f"accuracy changes by {interval(changes, '+.3f')} (number of cases: {len(of_kind)})."
        )
    return sentences


def _without_precision(record: Record) -> tuple[str, str, str]:
    return record.case_model, record.method, str({**record.settings, "precision": None})
