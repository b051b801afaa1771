"""The cases of a model that no other case beats in bytes, latency and accuracy."""

import math
from collections.abc import Sequence
from textwrap import fill

from tabulate import tabulate

from bench.report.metrics import scores
from bench.report.table import NOTE_WIDTH
from fixtures.record import Record

QUANTIZING = frozenset({"qat", "degree-quant", "a2q", "post-training", "hybrid"})
NOT_TIMED = "not timed"
HEADERS = ("case", "accuracy ± std", "standard error", "bytes (x smaller)", "speed-up")
CRITERIA = (
    "On a front: no other case of the model, the dense one included, is as small, as fast and as accurate, and better "
    "in one of the three. Any higher mean counts, plainly; differences below one standard error of the accuracy over "
    "the seeds are noise.",
    f"A case that was {NOT_TIMED} is compared over bytes and accuracy only, and beats none that was timed. Collapsed "
    "cases are on no front and beat no other. Speed-ups are against our FP32 runtime.",
)


def has_quantized(records: Sequence[Record]) -> bool:
    """Whether a case was trained or converted to integers, alone or with pruning."""
    return any(record.method in QUANTIZING for record in records)


def pareto_fronts(records: Sequence[Record]) -> str:
    """The front of every model with at least two compressed cases, smallest first; no text when there is none."""
    models: dict[str, list[Record]] = {}
    for record in records:
        models.setdefault(record.case_model, []).append(record)
    rows, counts = [], []
    for model, cases in sorted(models.items()):
        if sum(map(_compressed, cases)) >= 2:
            front = _front(cases)
            rows += [[f"{model}:"], *map(_row, front)]
            counts.append(_count(model, cases, front))
    if not rows:
        return ""
    table = tabulate(rows, headers=HEADERS, disable_numparse=True)
    return "\n".join([table, "", *counts, "", *(fill(text, NOTE_WIDTH) for text in CRITERIA)])


def _compressed(record: Record) -> bool:
    return record.compressed_tensors > 0 or record.precision != "fp32"


def _front(cases: Sequence[Record]) -> list[Record]:
    compared = [case for case in cases if not case.collapsed]
    front = [case for case in compared if not any(_beats(other, case) for other in compared)]
    return sorted(front, key=lambda case: case.size_bytes.encoded)


def _beats(other: Record, case: Record) -> bool:
    """Whether another case is nowhere worse than this one, and better somewhere, in all that is known of this one."""
    of_other, of_case = (record.speedup.compression for record in (other, case))
    pairs = [
        (case.size_bytes.encoded, other.size_bytes.encoded),
        (other.accuracy.mean, case.accuracy.mean),
    ]
    if of_case is not None:
        if of_other is None:
            return False
        pairs.append((of_other, of_case))
    return all(better >= worse for better, worse in pairs) and any(better > worse for better, worse in pairs)


def _row(record: Record) -> list[str]:
    accuracy, speedup = record.accuracy, record.speedup.compression
    return [
        record.id,
        format(scores(accuracy), ".3f"),
        "-" if accuracy.std is None else f"{accuracy.std / math.sqrt(len(record.seeds)):.4f}",
        f"{record.size_bytes.encoded:,.0f} ({1 / record.size_ratio:.2f}x)",
        NOT_TIMED if speedup is None else f"{speedup:.2f}x",
    ]


def _count(model: str, cases: Sequence[Record], front: Sequence[Record]) -> str:
    collapsed = sum(bool(case.collapsed) for case in cases)
    dominated = len(cases) - len(front) - collapsed
    return f"{model}: {len(front)} of {len(cases)} cases on the front, {dominated} dominated, {collapsed} collapsed"
